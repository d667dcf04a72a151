"""Which version is published: promotion, rollback, and the agreement of disk and registry.

The pointer ``model/.created`` is what predicts, so it is the truth; MLflow's alias ``champion`` says the same to people.
The alias moves first: where MLflow does not answer, nothing moves. A kill between the two leaves the alias ahead of the
pointer, and :func:`repair` brings it back. Every step may be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamforest.errors import BadInput, Unreachable
from streamforest.model.publication import ModelFolder, Version
from streamforest.model.tracking import Tracker


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is published, as each of the three that say so says it; all the same unless a kill came between."""

    pointer: str | None
    """Version in ``model/.created``: what predicts."""
    link: str | None
    """Version that ``model/trained_pipeline`` leads to."""
    alias: str | None
    """Version with MLflow's alias ``champion``."""
    reachable: bool = True
    """Whether MLflow answered."""

    @property
    def agrees(self) -> bool:
        return self.link == self.pointer and (not self.reachable or self.alias == self.pointer)


def promote(models: ModelFolder, tracker: Tracker, version: Version) -> Version:
    """Publish a version; a running stream takes it up at its next micro-batch.

    Raises:
        BadInput: its files are not those that were trained.
        Unreachable: MLflow does not answer; then nothing has changed.
    """
    with models.changing():
        champion = models.champion()
        history = list(champion.history) if champion else []
        if champion and champion.version != version.version:
            history.append(champion.version)
        return _publish(models, tracker, version, history)


def rollback(models: ModelFolder, tracker: Tracker, version: str | None = None) -> Version:
    """Publish again the version that was published before the present one, or an earlier one that is named.

    Raises:
        BadInput: there is none, or its files are damaged or gone.
        Unreachable: MLflow does not answer; then nothing has changed.
    """
    with models.changing():
        champion = models.require_champion()
        history = list(champion.history)
        wanted = version or (history[-1] if history else None)
        if wanted is None:
            raise BadInput(f"version {champion.version} is the first one published", "promote another: model promote")
        if wanted not in history:
            before = ", ".join(history) or "none"
            raise BadInput(f"version {wanted} was not published before {champion.version}", f"choose from: {before}")
        return _publish(models, tracker, require(models, wanted), history[: history.index(wanted)])


def standing(models: ModelFolder, tracker: Tracker) -> Standing:
    """What pointer, link and alias say; MLflow may be unreachable."""
    champion = models.champion()
    pointer = champion.version if champion else None
    try:
        return Standing(pointer=pointer, link=models.linked(), alias=tracker.champion())
    except Unreachable:
        return Standing(pointer=pointer, link=models.linked(), alias=None, reachable=False)


def repair(models: ModelFolder, tracker: Tracker) -> Standing:
    """Bring link and alias to where the pointer is, and return what they said before.

    Raises:
        BadInput: nothing is published.
        Unreachable: MLflow does not answer.
    """
    with models.changing():
        champion = models.require_champion()
        before = standing(models, tracker)
        tracker.set_champion(champion.version)
        models.repair_link()
        return before


def require(models: ModelFolder, version: str) -> Version:
    """A version by its number.

    Raises:
        BadInput: it is not on disk.
    """
    found = models.find(version)
    if found is None:
        known = ", ".join(one.version for one in models.versions()) or "none"
        raise BadInput(f"there is no model version {version} on disk", f"choose from: {known}")
    return found


def verify(models: ModelFolder, tracker: Tracker, version: Version) -> None:
    """Return where a version's files are those that were trained, as both its pointer and the registry tell.

    Raises:
        BadInput: they are not.
        Unreachable: MLflow does not answer.
    """
    models.verify(version)
    registered = tracker.checksum(version.version)
    if registered is not None and registered != version.checksum:
        raise BadInput(
            f"the files of model version {version.version} are not those in the registry (checksum differs)",
            "train and test again",
        )


def _publish(models: ModelFolder, tracker: Tracker, version: Version, history: list[str]) -> Version:
    verify(models, tracker, version)
    tracker.set_champion(version.version)
    return models.publish(version, history)
