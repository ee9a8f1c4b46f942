# SPDX-License-Identifier: Apache-2.0
"""What an alarm of CloudWatch would say, after its documentation ("Evaluating an alarm", "Configuring how alarms treat
missing data"): M of the last N datapoints, out of a longer range, by how missing ones are to be treated."""
import collections

STATISTICS = {"Maximum": max, "Minimum": min, "Sum": sum, "SampleCount": len, "Average": lambda v: sum(v) / len(v)}


def judge(points, n, m, missing="missing", state="OK"):
    """@points: of the evaluation range, the oldest first: True breaches, False does not, None is missing. Enough real ones:
    the newest N of them count, whatever is missing. Fewer: as many as are wanting are filled in."""
    real = [p for p in points if p is not None]
    fill = max(0, n - len(real))
    breaching = sum(real[-n:])
    if not fill:
        return "ALARM" if breaching >= m else "OK"
    if missing == "breaching":
        return "ALARM" if breaching + fill >= m else "OK"
    if missing == "notBreaching":
        return "ALARM" if breaching >= m else "OK"
    if not real:
        return "INSUFFICIENT_DATA" if missing == "missing" else state
    if breaching >= m:
        return "ALARM"
    if all(real):
        return "ALARM" if missing == "missing" else state
    return "OK"


def datapoints(datums, namespace, name, dimensions, statistic, period):
    """period's start -> the statistic of all values of exactly this metric."""
    values = collections.defaultdict(list)
    for d in datums:
        if (d["Namespace"], d["MetricName"], d["Dimensions"]) == (namespace, name, dimensions):
            at = d["Timestamp"] // period * period
            for value, count in zip(d.get("Values", [d.get("Value")]), d.get("Counts", [1])):
                values[at] += [value] * count
    return {at: STATISTICS[statistic](v) for at, v in values.items()}


def state_of(datums, alarm, now):
    """@alarm: as put_metric_alarm takes it, with GreaterThanThreshold. The period that @now is in is not over yet."""
    period, n = alarm["Period"], alarm["EvaluationPeriods"]
    found = datapoints(datums, alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"], alarm["Statistic"], period)
    last = now // period * period - period
    points = [found.get(last - i * period) for i in reversed(range(n + 2))]
    return judge([None if p is None else p > alarm["Threshold"] for p in points], n, alarm.get("DatapointsToAlarm", n),
                 alarm.get("TreatMissingData", "missing"))
