"""The gate's decision, and how it is written down."""

import html
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.core import schema_versions
from components.core.markdown import make_table
from components.gate.documents import Documents
from components.gate.parameters import GateParameters

PASSES = "passes"
REFUSES = "refuses"
NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a rule says about one subject.

    Attributes:
        rule: name of the rule.
        subject: what was judged, such as a baseline and a metric.
        bound: what is asked for.
        measured: what was found, or why nothing could be.
        verdict: PASSES, REFUSES or NOT_APPLICABLE.
    """

    rule: str
    subject: str
    bound: str
    measured: str
    verdict: str


Rule = Callable[[Documents, GateParameters], list[Judgement]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision.

    Attributes:
        judgements: what the rules say, in their order.
        parameters: the gate's parameters.
    """

    judgements: tuple[Judgement, ...]
    parameters: GateParameters

    @property
    def decisive(self) -> Judgement | None:
        """The first judgement that does not let the model pass; None if the rules let it pass."""
        accepted = (PASSES, NOT_APPLICABLE)
        return next((each for each in self.judgements if each.verdict not in accepted), None)

    @property
    def rules_passed(self) -> bool:
        """Whether the rules let the model pass."""
        return self.decisive is None and any(each.verdict == PASSES for each in self.judgements)

    @property
    def passed(self) -> bool:
        """Whether the model may be published: the rules let it pass, or a person overrides them."""
        return self.rules_passed or bool(self.parameters.gate_override.strip())

    @property
    def decided_by(self) -> str:
        """`gate_override`, the rule that refused first, or `all rules`."""
        if self.parameters.gate_override.strip():
            return "gate_override"
        return self.decisive.rule if self.decisive else "all rules"

    @property
    def reason(self) -> str:
        """Says in a sentence or two what decided."""
        decisive = self.decisive
        if decisive:
            text = f"Refused by the rule {decisive.rule}, {decisive.subject}: {decisive.measured}; "
            text += f"asked for: {decisive.bound}."
        else:
            text = "Every rule lets the model pass." if self.rules_passed else "No rule was applied."
        override = self.parameters.gate_override.strip()
        return f"Published all the same, by override: {override}. Without it: {text}" if override else text

    def to_json(self) -> str:
        """Returns the verdict as JSON, which `publish` records.

        Keys: `schema_version`; `passed`, whether the model may be published; `rules_passed`, the same without the
        override; `decided_by` and `reason`; `override`, its reason or ""; `judgements`, a list of rule, subject, bound,
        measured and verdict; `parameters`, the bounds by name.
        """
        document = {
            "schema_version": schema_versions.VERDICT,
            "passed": self.passed,
            "rules_passed": self.rules_passed,
            "decided_by": self.decided_by,
            "reason": self.reason,
            "override": self.parameters.gate_override.strip(),
            "judgements": [asdict(each) for each in self.judgements],
            "parameters": asdict(self.parameters),
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Returns the verdict as Markdown: the decision, and each judgement with its bound."""
        parts = [
            f"# Gate: {'passed' if self.passed else 'refused'}",
            f"**Decided by:** {_escape(self.decided_by)}",
            _escape(self.reason),
            make_table(["rule", "subject", "asked for", "measured", "verdict"], map(self._row, self.judgements)),
        ]
        return "\n\n".join(parts) + "\n"

    def _row(self, judgement: Judgement) -> list[str]:
        cells = [_escape(cell) for cell in asdict(judgement).values()]
        if judgement is self.decisive:
            cells[-1] = f"**{cells[-1]}, first of all**"
        return cells


def decide(documents: Documents, parameters: GateParameters, rules: Mapping[str, Rule]) -> Verdict:
    """Applies every rule; a rule that raises, or that judges nothing, refuses.

    Args:
        documents: what is judged.
        parameters: the bounds.
        rules: rules by name, the most explanatory first.
    """
    judgements: list[Judgement] = []
    for name, rule in rules.items():
        try:
            found = rule(documents, parameters)
        except Exception as error:
            found = [refuse(name, error)]
        judgements += found or [refuse(name, ValueError("The rule judged nothing"))]
    return Verdict(judgements=tuple(judgements), parameters=parameters)


def refuse(rule: str, error: Exception) -> Judgement:
    """Returns the judgement that stands for an exception."""
    is_expected = isinstance(error, ValueError)
    text = str(error) if is_expected else f"{type(error).__name__}: {error}"
    return Judgement(rule=rule, subject="what it reads", bound="usable values", measured=text, verdict=REFUSES)


def judge_most(rule: str, subject: str, value: float, bound: float, form: str) -> Judgement:
    """Judges a value that must not exceed its bound; `form` is the format of both in the texts."""
    verdict = PASSES if value <= bound else REFUSES
    shown = f"at most {bound:{form}}"
    return Judgement(rule=rule, subject=subject, bound=shown, measured=f"{value:{form}}", verdict=verdict)


def judge_least(rule: str, subject: str, value: float, bound: float, form: str) -> Judgement:
    """Judges a value that must reach its bound; `form` is the format of both in the texts."""
    verdict = PASSES if value >= bound else REFUSES
    shown = f"at least {bound:{form}}"
    return Judgement(rule=rule, subject=subject, bound=shown, measured=f"{value:{form}}", verdict=verdict)


def _escape(text: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in text)
    return html.escape(printable, quote=False)


def join(names: Iterable[Any]) -> str:
    """Returns names as text, in their order."""
    return ", ".join(map(str, names))
