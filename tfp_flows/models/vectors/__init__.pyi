from .config import VectorFlowConfig as VectorFlowConfig
from .family import FAMILY as FAMILY
from .flow import vector_flow as vector_flow
