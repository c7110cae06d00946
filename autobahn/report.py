#!/usr/bin/env python3
"""What autobahn/run.sh needs beside a shell: the suite's specification files,
and the reading of its reports. Not meant to be called by hand; see run.sh.

expected.json holds, for each role, what each case is to give:

    "1.1.1-8": "OK"                                 cases 1.1.1 to 1.1.8
    "7.1.6":   "INFORMATIONAL, close INFORMATIONAL"

The suite judges a case twice: what was exchanged ("behavior" in its reports),
and how the connection was closed ("behaviorClose"). The latter is named only
where it is not OK. The file is written by `run.sh --write-expected`.
"""

import argparse
import fnmatch
import http.client
import json
import os
import re
import socket
import sys

ROLES = ("server", "client")
COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")

# What may be written to expected.json by a run. Anything else is a fault to
# be mended; whoever wants to live with one writes it there by hand.
ACCEPTABLE = ("OK", "INFORMATIONAL", "UNIMPLEMENTED")
ACCEPTABLE_CLOSE = ("OK", "INFORMATIONAL")

# Of each subgroup of 12 and 13, the cases a quick run takes: a thousand
# messages of 64 octets, of 4096, and of 8192 in frames of 256.
QUICK_COMPRESSION_CASES = (2, 5, 11)


class Trouble(Exception):
    """Something to be said in one line, ending the run."""


def key(case):
    return tuple(int(part) for part in case.split("."))


def group(case):
    return int(case.split(".")[0])


def verdict(behavior, close):
    return behavior if close == "OK" else "%s, close %s" % (behavior, close)


# ---- expected.json ----------------------------------------------------------


def expand(name):
    """'1.1.1-8' as the cases it stands for."""
    match = re.fullmatch(r"((?:\d+\.)+)(\d+)(?:-(\d+))?", name)
    if not match:
        raise Trouble("expected.json: '%s' is no case and no range of cases" % name)
    parent, first = match.group(1), int(match.group(2))
    last = int(match.group(3) or first)
    if last < first:
        raise Trouble("expected.json: the range '%s' is empty" % name)
    return ["%s%d" % (parent, number) for number in range(first, last + 1)]


def compress(verdicts):
    """The reverse: cases and their verdicts, neighbours of one verdict joined."""
    runs = []  # [parent, first, last, verdict]
    for case in sorted(verdicts, key=key):
        parent, _, number = case.rpartition(".")
        number = int(number)
        if runs and runs[-1][0] == parent and runs[-1][2] == number - 1 and runs[-1][3] == verdicts[case]:
            runs[-1][2] = number
        else:
            runs.append([parent, number, number, verdicts[case]])
    return {
        "%s.%d%s" % (parent, first, "-%d" % last if last > first else ""): value
        for parent, first, last, value in runs
    }


def unique(pairs):
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Trouble("expected.json: a name is there twice")
    return result


def read_file(path):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file, object_pairs_hook=unique)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Trouble("expected.json: %s" % error)
    return content


def read_expected(path, role):
    """The expected verdict of each case of a role."""
    ranges = read_file(path).get(role)
    if ranges is None:
        raise Trouble("expected.json says nothing of the %s role; run.sh --write-expected makes it" % role)
    verdicts = {}
    for name, value in ranges.items():
        for case in expand(name):
            if case in verdicts:
                raise Trouble("expected.json: case %s is there twice for the %s role" % (case, role))
            verdicts[case] = value
    return verdicts


def write_expected(path, role, suite, verdicts):
    old = read_file(path)
    content = {"suite": suite}
    for name in ROLES:
        if name == role:
            content[name] = compress(verdicts)
        elif name in old:
            content[name] = old[name]
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    os.replace(path + ".new", path)


# ---- which cases ------------------------------------------------------------


def select(cases, known):
    """The known cases a selection takes, or None if it is all there are."""
    if cases == "@all":
        return None
    if cases == "@quick":
        taken = {
            case for case in known if group(case) < 12 or key(case)[-1] in QUICK_COMPRESSION_CASES
        }
    else:
        taken = set()
        for pattern in re.split(r"[,\s]+", cases.strip(", ")):
            matching = {
                case for case in known if fnmatch.fnmatchcase(case, pattern) or case.startswith(pattern + ".")
            }
            if not matching:
                raise Trouble("no case of expected.json is meant by '%s'" % pattern)
            taken |= matching
    return sorted(taken, key=key)


def selection(options):
    for role in ROLES if options.role == "all" else (options.role,):
        select(options.cases, read_expected(options.expected, role))


def spec(options):
    """Prints the suite's specification file for a run."""
    # A run for --write-expected takes all the suite has, with no expected.json yet.
    taken = select(options.cases, () if options.cases == "@all" else read_expected(options.expected, options.role))
    content = {
        "outdir": options.reports,
        "cases": ["*"] if taken is None else taken,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    if options.role == "server":
        content["servers"] = [{"agent": options.agent, "url": options.url}]
    else:
        content["url"] = options.url
    json.dump(content, sys.stdout, indent=2)
    print()


# ---- the suite's server -----------------------------------------------------


def free_port(_options):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        print(listener.getsockname()[1])


def answers(options):
    """Whether the suite's server, and not just anyone, is there."""
    connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=2)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return "AutobahnTestSuite" in (response.getheader("Server") or "")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# ---- reports ----------------------------------------------------------------


def read_results(options):
    """What the suite's index says of each case."""
    path = os.path.join(options.reports, "index.json")
    try:
        with open(path, encoding="utf-8") as file:
            agents = json.load(file)
    except FileNotFoundError:
        raise Trouble("the suite left no report: the run did not come to its end")
    except ValueError as error:
        raise Trouble("the suite's index.json cannot be read: %s" % error)
    if list(agents) != [options.agent]:
        raise Trouble(
            "the suite's report should be about %s, and is about %s"
            % (options.agent, ", ".join(sorted(agents)) or "nobody")
        )
    return agents[options.agent]


def announced(options):
    """How many cases the suite said it would run."""
    try:
        with open(os.path.join(options.reports, "suite.log"), encoding="utf-8", errors="replace") as file:
            match = re.search(r"^Ok, will run (\d+) test cases", file.read(), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(match.group(1)) if match else None


def print_table(results):
    counts = {}
    for case, result in results.items():
        row = counts.setdefault(group(case), dict.fromkeys(COLUMNS + ("other", "close"), 0))
        row[result["behavior"] if result["behavior"] in COLUMNS else "other"] += 1
        row["close"] += result["behaviorClose"] not in ACCEPTABLE_CLOSE
    columns = [name for name in COLUMNS + ("other",) if name != "other" or any(row["other"] for row in counts.values())]
    titles = ["group", "cases"] + columns + ["bad close"]
    lines = [titles]
    for number in sorted(counts):
        row = counts[number]
        lines.append([number, sum(row[name] for name in columns)] + [row[name] for name in columns] + [row["close"]])
    lines.append(["all"] + [sum(line[place] for line in lines[1:]) for place in range(1, len(titles))])
    for line in lines:
        cells = (str(cell if cell != 0 else "-").rjust(max(5, len(title))) for cell, title in zip(line, titles))
        print("  " + "  ".join(cells))


def shown(options, path):
    inside = os.path.relpath(path, options.root)
    return path if inside.startswith("..") else inside


def explanation(options, result):
    """Why the suite judged a case as it did, and where it says so."""
    path = os.path.join(options.reports, result["reportfile"])
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            detail = json.load(file)
        why = detail["result"] if result["behavior"] != "OK" else detail["resultClose"]
        if result["behavior"] != "OK" and result["behaviorClose"] != "OK" and detail["resultClose"] != why:
            why = "%s / %s" % (why, detail["resultClose"])
    except (OSError, ValueError, KeyError):
        why = "(no report of this case)"
    return [why, shown(options, path)]


def incomplete(options, results):
    number = announced(options)
    if number is not None and number != len(results):
        return "the suite was to run %d cases, and reports on %d" % (number, len(results))
    return None


def summary(options, results):
    print()
    print("%s role, %d cases, %d s (%s)" % (options.role, len(results), options.seconds, options.suite))
    print_table(results)
    print()


def compare(options):
    results = read_results(options)
    expected = read_expected(options.expected, options.role)
    taken = select(options.cases, expected)
    if taken is not None:
        expected = {case: expected[case] for case in taken}
    summary(options, results)

    differences = []
    for case in sorted(set(results) | set(expected), key=key):
        if case not in results:
            lines = ["got nothing, expected %s" % expected[case]]
        else:
            result = results[case]
            got = verdict(result["behavior"], result["behaviorClose"])
            if case not in expected:
                lines = ["got %s, is not in expected.json" % got]
            elif got != expected[case]:
                lines = ["got %s, expected %s" % (got, expected[case])]
            else:
                continue
            lines += explanation(options, result)
        differences.append((case, lines))
    short = incomplete(options, results)
    if short:
        print(short)
    if not differences:
        print("as expected: every case" if taken is None else "as expected: every case of those selected")
        return short is None
    print("%d difference%s from expected.json:" % (len(differences), "s" if len(differences) > 1 else ""))
    for case, lines in differences:
        print("  %-8s %s" % (case, lines[0]))
        for line in lines[1:]:
            print("  %-8s   %s" % ("", line))
    return False


def write(options):
    results = read_results(options)
    summary(options, results)
    short = incomplete(options, results)
    if short:
        raise Trouble("%s; expected.json is left as it was" % short)
    unfit = [
        case
        for case in sorted(results, key=key)
        if results[case]["behavior"] not in ACCEPTABLE or results[case]["behaviorClose"] not in ACCEPTABLE_CLOSE
    ]
    for case in unfit:
        result = results[case]
        print("  %-8s %s" % (case, verdict(result["behavior"], result["behaviorClose"])))
        for line in explanation(options, result):
            print("  %-8s   %s" % ("", line))
    if unfit:
        raise Trouble("nothing to be expected, these; expected.json is left as it was")
    verdicts = {case: verdict(result["behavior"], result["behaviorClose"]) for case, result in results.items()}
    write_expected(options.expected, options.role, options.suite, verdicts)
    print("expected.json: the %s role is written anew, %d cases" % (options.role, len(verdicts)))
    return True


ACTIONS = {
    "selection": selection,
    "spec": spec,
    "free-port": free_port,
    "answers": answers,
    "compare": compare,
    "write": write,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--role", choices=ROLES + ("all",))
    parser.add_argument("--cases", default="@all")
    for name in ("--expected", "--reports", "--agent", "--url", "--suite", "--root"):
        parser.add_argument(name)
    for name in ("--port", "--seconds"):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    try:
        return 1 if ACTIONS[options.action](options) is False else 0
    except Trouble as trouble:
        sys.stdout.flush()
        print("autobahn/run.sh: %s" % trouble, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
