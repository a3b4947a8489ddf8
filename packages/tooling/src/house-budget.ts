// The budget of `.scripts/house.ts`: what each package may have, and how that is entered.

/** The size of a package, or the size that it may have at most. */
export interface Size {
  /** Lines of `src`, without generated files. */
  readonly lines: number
  /** Lines of `test`, with what supports the tests. */
  readonly tests: number
  /** Pairs of rooms that import each other. */
  readonly pairs: number
}

/** The sizes that packages may have, by folder; a size that rose has the reason for it. */
export type Budget = Readonly<Record<string, Size & { readonly reason?: string }>>

/** Budgets of lines are multiples of this, and leave room for a few lines more. */
const STEP_LINES = 50
const ROOM_LINES = 20
/** A budget that is further above the size than this is slack. */
const SLACK_LINES = 100

const KINDS = ['lines', 'tests', 'pairs'] as const

const WORDS = { lines: 'lines of src', tests: 'lines of tests', pairs: 'pairs of rooms that import each other' }

/**
 * Returns one line per size that is above its budget, per budget of lines that is slack, and per budget that rose and whose reason is
 * not a new one.
 *
 * @param earlier - older versions of the budget
 */
export function budgetProblems(
  budget: Budget,
  sizes: Readonly<Record<string, Size>>,
  earlier: readonly Budget[],
): string[] {
  const problems = Object.keys(budget)
    .filter((path) => !(path in sizes))
    .map((path) => `${path} is no package any more: node .scripts/house.ts --write`)
  for (const [path, size] of Object.entries(sizes)) {
    for (const kind of KINDS) {
      const allowed = budget[path]?.[kind] ?? 0
      const has = `${path} has ${size[kind]} ${WORDS[kind]}, and its budget is ${allowed}:`
      if (size[kind] > allowed)
        problems.push(
          `${has} make it smaller, or enter why it grows: node .scripts/house.ts --write --reason WHY ${path}`,
        )
      else if (kind !== 'pairs' && size[kind] + SLACK_LINES < allowed)
        problems.push(`${has} node .scripts/house.ts --write lowers it`)
      const unexplained = earlier.find((one) => isUnexplained(path, kind, budget, one))
      if (unexplained !== undefined)
        problems.push(
          `${path}: its ${kind} rose from ${unexplained[path]?.[kind] ?? 0} to ${allowed} without a new reason`,
        )
    }
  }
  return problems
}

function isUnexplained(path: string, kind: keyof Size, budget: Budget, earlier: Budget): boolean {
  const [now, before] = [budget[path], earlier[path]]
  return now !== undefined && now[kind] > (before?.[kind] ?? 0) && (now.reason ?? '') === (before?.reason ?? '')
}

/**
 * The budget for what packages have now: lower where that is less, and, with a reason, higher where it is more.
 *
 * @param which - the folder of the one package that may have more; all may if it is undefined
 */
export function rewritten(
  budget: Budget,
  sizes: Readonly<Record<string, Size>>,
  reason: string | undefined,
  which: string | undefined,
): Budget {
  const entry = ([path, size]: readonly [string, Size]): [string, Budget[string]] => {
    const needed = {
      lines: Math.ceil((size.lines + ROOM_LINES) / STEP_LINES) * STEP_LINES,
      tests: Math.ceil((size.tests + ROOM_LINES) / STEP_LINES) * STEP_LINES,
      pairs: size.pairs,
    }
    const old = budget[path] ?? { lines: 0, tests: 0, pairs: 0 }
    const mayRise = reason !== undefined && (which ?? path) === path
    // A size within its budget keeps it.
    const allowed = (kind: keyof Size): number =>
      mayRise && size[kind] > old[kind] ? needed[kind] : Math.min(old[kind], needed[kind])
    const next = { ...old, lines: allowed('lines'), tests: allowed('tests'), pairs: allowed('pairs') }
    return [path, mayRise && KINDS.some((kind) => size[kind] > old[kind]) ? { ...next, reason } : next]
  }
  return Object.fromEntries(Object.entries(sizes).map(entry))
}
