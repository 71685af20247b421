"""What the operator says of a deployment's place among others: how much it takes, when, and for whom."""

from dataclasses import dataclass

from gateway.config.model import Deployment
from gateway.config.secret import Secret
from gateway.ledger import prices
from gateway.providers.base import Target


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which a deployment is called, as they stand in the configuration.

    `rpm` and `tpm` are requests and tokens per minute, `parallel` calls at one time; None where there is no bound.
    `retries` is how many further attempts follow a failure here, None where the router says.
    `max_input_tokens` is the operator's word on how long a prompt may be, `window` the price catalogue's, which is
    advice only. `shared` says that one entry of the configuration stands for many models (a
    wildcard), so that what is wrong with one of them says nothing of the others. `identity` differs where the
    deployment is another one under the same id: another server, model or key.
    """

    weight: float | None = None
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    retries: int | None = None
    order: int = 0
    tags: frozenset[str] = frozenset()
    max_input_tokens: int | None = None
    window: int | None = None
    shared: bool = False
    identity: int = 0

    @property
    def bounded(self) -> bool:
        """Whether calls to it have to be counted."""
        return self.rpm is not None or self.tpm is not None or self.parallel is not None


def terms(deployment: Deployment, target: Target) -> Terms:
    """The terms of `deployment`, which calls `target`."""
    return Terms(
        weight=deployment.weight,
        rpm=deployment.rpm,
        tpm=deployment.tpm,
        parallel=deployment.max_parallel_requests,
        retries=deployment.num_retries,
        order=deployment.order or 0,
        tags=frozenset(deployment.tags),
        max_input_tokens=deployment.max_input_tokens,
        window=prices.window(
            deployment.provider, deployment.model, base_model=deployment.base_model, api_base=target.base_url
        ),
        shared="*" in deployment.alias,
        identity=_identity(deployment, target),
    )


def _identity(deployment: Deployment, target: Target) -> int:
    """A number that is another one when what the deployment's calls go to, or its key, is another."""
    model = "*" if "*" in deployment.alias else target.model  # one entry for many models
    options = (value if isinstance(value, Secret) else repr(value) for value in target.options.values())
    return hash((target.provider, model, target.base_url, target.api_key, *target.options, *options))
