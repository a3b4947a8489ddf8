"""Whether what clients saw of registers is linearizable: each operation took place at one instant between its call and its answer.

A history is a list of (kind, key, value, called, answered): a write of a value, or a read that returned it. An answer of None: the client
never knew. Such a write took place at some time after its call, or never; such a read says nothing.
"""


def fault_of(history):
    """Returns the operations of a register with no order that explains them, or None."""
    for key in sorted({one[1] for one in history}):
        ops = [one for one in history if one[1] == key and (one[0] == "write" or one[4] is not None)]
        if not _explains(sorted(ops, key=lambda one: one[3])):
            return ops
    return None


def _explains(ops):
    # Wing and Gong's search, "Testing and Verifying Concurrent Objects" (1993), with states that were seen kept.
    forever = float("inf")
    ends = [forever if one[4] is None else one[4] for one in ops]
    needed = sum(1 << i for i, end in enumerate(ends) if end != forever)
    seen = set()
    stack = [(0, None)]
    while stack:
        done, value = stack.pop()
        if done & needed == needed:
            return True
        if (done, value) in seen:
            continue
        seen.add((done, value))
        left = [i for i in range(len(ops)) if not done >> i & 1]
        first = min(ends[i] for i in left)
        for i in left:
            kind, _, new, called, _ = ops[i]
            # An operation that was called after another one's answer comes behind it.
            if called > first:
                break
            if kind == "write":
                stack.append((done | 1 << i, new))
            elif new == value:
                stack.append((done | 1 << i, value))
    return False
