"""What nobody meant to give: each case ends in a value or a `UserError`, in bounded memory and time."""
