"""How the features of a film's frames become the features of the film."""

JOINS = ("channels", "mean", "attention")
# A sd's gradient is infinite at 0, where equal frames are; an ImageNet feature's own sd is near 1.
VARIANCE_FLOOR = 1e-6
