"""A flow over vectors: linear layers and couplings."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_flows import bijectors, networks
from tfp_flows.checks import arguments
from tfp_flows.checks.errors import UserError
from tfp_flows.distributions import priors
from tfp_flows.models.vectors.config import VectorFlowConfig

Factory = Callable[[int, int], Callable[..., tf.Tensor]]
FEWEST_FREEDOM, FIRST_FREEDOM = 1.0, 8.0  # degrees of a student's t


def vector_flow(
    size: int,
    num_steps: int = 8,
    hidden_units: int = 64,
    coupling: str = "affine",
    scale_form: str = "tanh",
    condition_size: int = 0,
    prior: str | tfd.Distribution = "normal",
    network: Factory | None = None,
    seed: int = 0,
    dtype: str = "float32",
    name: str = "vector_flow",
) -> tfd.TransformedDistribution:
    """A flow over vectors x `[D]` of any scale, as a TFP distribution: points, features, rows of a table.

        log p(x) = log p_Z(z) + log|det dz/dx|,     z = bijector.inverse(x)

    From x to z, after an actnorm that standardises the columns, each of the steps is

        actnorm       a scale and a shift of each coordinate
        linear        z = W x, W by its LU factors (`bijectors.InvertibleConv1x1`)
        coupling      one half of the coordinates is transformed given the other half

    Density in nats with respect to x, in the units of x. `fit` begins where the flow is the normal
    distribution of the data's means and (shrunk) covariance, and gets better from there.

    #### Example

    ```python
    flow = tfp_flows.vector_flow(2)
    tfp_flows.fit(flow, points, held_out, steps=1_000)              # float32 [N, 2]
    flow.log_prob(points), flow.sample(100, seed=0)

    density = tfp_flows.vector_flow(2, condition_size=3)            # p(y | x)
    tfp_flows.fit(density, y, conditions=x, steps=1_000)
    density.log_prob(y, bijector_kwargs={"condition": x})
    ```

    Args:
      size: D, at least 2.
      num_steps: Steps of actnorm, linear layer and coupling.
      hidden_units: Width of the two hidden layers of a coupling's network.
      coupling: What a coupling does to a coordinate: "affine", "spline" (rational quadratic) or "mixture"
        (the distribution function of a mixture of logistic distributions).
      scale_form: Of affine couplings: "tanh", "sigmoid" or "exp"; see `bijectors.AffineCoupling`.
      condition_size: K: every network is given a `condition` `[..., K]` too; 0 for none.
      prior: Of each coordinate of z: "normal", "laplace", "logistic", "student_t" (its degrees of freedom
        are trained: for data whose tails are heavy, which no bounded scale makes of light ones [2]); or a
        `tfd.Distribution` of scalars or of events `[D]`.
      network: Factory `network(in_channels, out_channels)` of the couplings' networks, in the place of
        `networks.DenseNetwork`; it sees to seeds, dtype and condition itself.
      seed: Python `int`, of the first weights.
      dtype: "float32" or "float64", of weights and vectors.
      name: Python `str`.

    Returns:
      A `tfd.TransformedDistribution`, event shape `[D]`, batch shape `[]`.

    Raises:
      ValueError: If an argument is none of these.

    #### References

    [1]: Laurent Dinh, Jascha Sohl-Dickstein and Samy Bengio. Density estimation using Real NVP.
         ICLR 2017. https://arxiv.org/abs/1605.08803
    [2]: Priyank Jaini, Ivan Kobyzev, Yaoliang Yu and Marcus Brubaker. Tails of Lipschitz triangular flows.
         ICML 2020. https://arxiv.org/abs/1907.04481
    """
    given = {} if isinstance(prior, tfd.Distribution) else {"prior": prior}
    config = VectorFlowConfig(
        num_steps=num_steps,
        hidden_units=hidden_units,
        coupling=coupling,
        scale_form=scale_form,
        condition_size=condition_size,
        seed=seed,
        dtype=arguments.check_floating(dtype, name).name,
        **given,
    )
    size = arguments.check_count(size, "size", name)
    if size < 2:
        raise UserError(f"{name}: `size` must be at least 2: a coupling needs two halves, got {size}.")
    standardize = bijectors.ActNorm(size, dtype=dtype, name="standardize")
    steps = [member for step in range(num_steps) for member in _step(config, size, step, network)]
    chain = bijectors.ConditionedChain([standardize, *steps], condition_size, name=name)
    latent = _latent(config, size) if given else priors.over(prior, [size], chain.dtype)
    flow = tfd.TransformedDistribution(latent, chain, name=name)
    # By which a run's folder can make it again; None where that cannot be said.
    flow.vector_config = config if given and network is None else None
    return flow


def _step(config: VectorFlowConfig, size: int, step: int, network: Factory | None) -> list[tfb.Bijector]:
    """One step, data side first."""
    seed = [config.seed, step]
    return [
        bijectors.ActNorm(size, dtype=config.dtype, name=f"step{step}_actnorm"),
        bijectors.InvertibleConv1x1(size, seed=[*seed, 0], dtype=config.dtype, name=f"step{step}_linear"),
        _coupling(config, size, step, network or _dense(config, [*seed, 1])),
    ]


def _dense(config: VectorFlowConfig, seed: list[int]) -> Factory:
    def network(in_channels: int, out_channels: int) -> networks.DenseNetwork:
        return networks.DenseNetwork(
            in_channels,
            out_channels,
            hidden_channels=config.hidden_units,
            condition_channels=config.condition_size,
            seed=seed,
            dtype=tf.as_dtype(config.dtype),
        )

    return network


def _coupling(config: VectorFlowConfig, size: int, step: int, network: Factory) -> tfb.Bijector:
    shape: dict[str, Any] = dict(event_ndims=1, swap=bool(step % 2), dtype=config.dtype)
    shape["name"] = f"step{step}_coupling"
    if config.coupling == "affine":
        return bijectors.AffineCoupling(size, network, config.scale_form, **shape)
    transform = bijectors.SplineTransform if config.coupling == "spline" else bijectors.MixtureTransform
    return bijectors.Coupling(size, network, transform(), **shape)


def _latent(config: VectorFlowConfig, size: int) -> tfd.Distribution:
    """The prior of z `[D]` by its name."""
    dtype = tf.as_dtype(config.dtype)
    zero, one = tf.zeros([], dtype), tf.ones([], dtype)
    if config.prior != "student_t":
        return priors.over(priors.CLASSES[config.prior](zero, one), [size], dtype)
    freedom: Any = tfp.util.TransformedVariable(
        tf.fill([size], tf.constant(FIRST_FREEDOM, dtype)),
        tfb.Chain([tfb.Shift(tf.constant(FEWEST_FREEDOM, dtype)), tfb.Softplus()]),
        name="degrees_of_freedom",
    )
    return priors.over(priors.StudentT(freedom, zero, one), [size], dtype)
