// The budget of `.scripts/house.ts`: how many lines the repository may have.

/** Lines, without generated files: of the sources, of the tests with their support, and of benches. */
export interface Lines {
  readonly src: number
  readonly tests: number
  readonly bench: number
}

/** Lines that an issue may add, or (negative) has yet to take out; one that orders no row of a bench leaves `bench` out. */
type IssueLines = Pick<Lines, 'src' | 'tests'> & Partial<Pick<Lines, 'bench'>>

/** The permitted numbers of lines. */
export interface Budget extends Lines {
  /** Lines that open issues name for themselves, by the issue's number. */
  readonly issues: Readonly<Record<string, IssueLines>>
}

/** Lines that may come and go without an entry. */
const SLACK_LINES = 200

const KINDS = ['src', 'tests', 'bench'] as const

/** Returns the permitted number of lines, including open issues' allowances. */
function allowed({ issues, ...own }: Budget, kind: keyof Lines): number {
  return Object.values(issues).reduce((sum, issue) => sum + (issue[kind] ?? 0), own[kind])
}

/**
 * Returns one line for each excess of lines, for a slack budget, and for a rise beyond the lines of an issue.
 *
 * @param earlier - older versions of the budget, the newest first
 */
export function budgetProblems(budget: Budget, lines: Lines, earlier: readonly Budget[]): string[] {
  return KINDS.flatMap((kind) => {
    const [has, most] = [lines[kind], allowed(budget, kind)]
    const former = earlier.find(
      (one, i) => budget[kind] > one[kind] + endedSince(earlier.slice(0, i + 1), budget, kind),
    )
    const changed = Object.entries(budget.issues).flatMap(([issue, own]) => {
      const before = earlier.find(({ issues }) => (own[kind] ?? 0) > (issues[issue]?.[kind] ?? Infinity))?.issues[issue]
      return before === undefined ? [] : [`issue ${issue} had ${before[kind]} lines of ${kind}, and has ${own[kind]}`]
    })
    return [
      ...changed,
      has > most && `${has} lines of ${kind}, and there may be ${most}: take out as many elsewhere, in the same change`,
      has + SLACK_LINES < budget[kind] &&
        `${has} lines of ${kind}, and there may be ${most}: node .scripts/house.ts --write lowers that`,
      former && `the budget of ${kind} rose from ${former[kind]} to ${budget[kind]}: only an issue's own lines lift it`,
    ].filter((problem) => typeof problem === 'string')
  })
}

/** Returns the lines of issues of some versions that have ended since: added lines stay. */
function endedSince(versions: readonly Budget[], { issues }: Budget, kind: keyof Lines): number {
  const known = Object.assign({}, ...versions.map((one) => one.issues)) as Budget['issues']
  return Object.entries(known).reduce((sum, [issue, own]) => sum + (issue in issues ? 0 : (own[kind] ?? 0)), 0)
}

/** Returns the budget lowered to the present numbers of lines. */
export function lowered(budget: Budget, lines: Lines): Budget {
  const least = Object.fromEntries(KINDS.map((kind) => [kind, Math.min(budget[kind], lines[kind])]))
  return { ...budget, ...(least as unknown as Lines) }
}
