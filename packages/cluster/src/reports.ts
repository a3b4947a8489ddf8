/** A line of a program's port for reports. */
export type Report =
  /** A property: it holds always, or is to hold at least once, or is reached. */
  | {
      readonly kind: 'always' | 'sometimes' | 'reachable' | 'unreachable'
      readonly name: string
      readonly ok: boolean
      readonly details: unknown
      /** The program knows of it, and has not come to it. */
      readonly isDeclared?: true
    }
  /** All is ready for faults. */
  | { readonly kind: 'setup-complete' }
  /** There are to be no faults for a while. */
  | { readonly kind: 'quiet'; readonly seconds: number }

/** The most characters of a line: details of a report have to fit. */
export const MOST_LINE = 65_536

const PLAIN = /^(always|sometimes|reachable|unreachable) +(\S+)(?: +(ok|fail))?(?: +(.*))?$/
const QUIET = /^quiet +(\d+(?:\.\d+)?)$/

/**
 * Reads a line of the port: `always NAME ok|fail JSON`, `sometimes NAME ok|fail JSON`, `reachable NAME JSON`, `unreachable NAME JSON`,
 * `setup-complete`, `quiet SECONDS`; or one of the JSON lines that the SDKs of Antithesis write.
 *
 * @returns undefined for another line
 */
export function readReport(line: string): Report | undefined {
  const text = line.trim()
  if (text.startsWith('{')) return ofSdk(parsed(text))
  if (text === 'setup-complete') return { kind: 'setup-complete' }
  const [, seconds] = QUIET.exec(text) ?? []
  if (seconds !== undefined) return { kind: 'quiet', seconds: Number(seconds) }
  const [, kind, name, how, details] = PLAIN.exec(text) ?? []
  if (kind === undefined || name === undefined) return undefined
  const needsWord = kind === 'always'
  if (needsWord && how === undefined) return undefined
  return {
    kind: kind as 'always',
    name,
    ok: how !== 'fail',
    // Details that are not JSON are a text.
    details: details === undefined ? undefined : (parsed(details) ?? details),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The kinds of properties, by the SDK's name for the kind and whether it must be come to. */
const KINDS: Readonly<Record<string, 'always' | 'sometimes'>> = { always: 'always', sometimes: 'sometimes' }

/**
 * Reads a line of the SDKs of Antithesis.
 *
 * Source: "Fallback SDK" of Antithesis' documentation, the schema of its JSON lines.
 */
function ofSdk(value: unknown): Report | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { antithesis_assert: property, antithesis_setup: setup } = value as Record<string, Record<string, unknown>>
  if (setup?.['status'] === 'complete') return { kind: 'setup-complete' }
  if (typeof property?.['assert_type'] !== 'string') return undefined
  const { assert_type: type, message, id, hit, must_hit: must, condition, details } = property
  const kind = KINDS[type] ?? (type === 'reachability' ? (must === false ? 'unreachable' : 'reachable') : undefined)
  if (kind === undefined) return undefined
  return {
    kind,
    name: String(message ?? id),
    ok: condition !== false,
    details: details ?? undefined,
    ...(hit === false && { isDeclared: true as const }),
  }
}

/** A property, and what was reported of it. */
export interface Property {
  /** When it holds. */
  readonly kind: 'always' | 'sometimes' | 'reachable' | 'unreachable'
  /** As the program calls it. */
  readonly name: string
  /** How often it was reported to hold. */
  readonly passed: number
  /** How often it was reported not to hold. */
  readonly failed: number
}

/** The properties of a run. */
export class Properties {
  readonly #all = new Map<string, { -readonly [Key in keyof Property]: Property[Key] }>()

  /** The same properties, which go on by themselves. */
  copy(): Properties {
    const copy = new Properties()
    for (const [name, property] of this.#all) copy.#all.set(name, { ...property })
    return copy
  }

  /** Notes a report. @returns whether the property is broken */
  note(report: Report): boolean {
    if (report.kind === 'setup-complete' || report.kind === 'quiet') return false
    const { kind, name } = report
    const property = this.#all.get(`${kind} ${name}`) ?? { kind, name, passed: 0, failed: 0 }
    this.#all.set(`${kind} ${name}`, property)
    if (report.isDeclared === true) return false
    const passes = kind !== 'unreachable' && report.ok
    if (passes) property.passed++
    else property.failed++
    return !passes && (kind === 'always' || kind === 'unreachable')
  }

  /** All that were reported, by name. */
  get all(): readonly Property[] {
    return [...this.#all.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1))
  }
}
