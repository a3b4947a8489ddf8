/** A report of a property: it holds always, or is to hold at least once, or is reached. */
interface PropertyReport {
  readonly kind: 'always' | 'sometimes' | 'reachable' | 'unreachable'
  readonly name: string
  readonly ok: boolean
  readonly details: unknown
  /** The program knows of it, and has not come to it. */
  readonly isDeclared?: true
}

/** A line of a program's port for reports. */
export type Report =
  | PropertyReport
  /** A number that a machine has promised to keep, or that is there after a start. */
  | { readonly kind: 'promised' | 'found'; readonly name: string; readonly count: number }
  /** All is ready for faults. */
  | { readonly kind: 'setup-complete' }
  /** A number that is worth exploring: a state in which it is new is gone on from. */
  | { readonly kind: 'explore'; readonly name: string; readonly count: number }
  /** There are to be no faults for a while. */
  | { readonly kind: 'quiet'; readonly seconds: number }

/** The most characters of a line: details of a report have to fit. */
export const MOST_LINE = 65_536

const PLAIN = /^(always|sometimes|reachable|unreachable) +(\S+)(?: +(ok|fail))?(?: +(.*))?$/
const COUNTED = /^(promised|found|explore) +(\S+) +(\d{1,15})$/
const QUIET = /^quiet +(\d+(?:\.\d+)?)$/

/**
 * Reads a line of the port: `always NAME ok|fail JSON`, `sometimes NAME ok|fail JSON`, `reachable NAME JSON`, `unreachable NAME JSON`,
 * `promised NAME NUMBER`, `found NAME NUMBER`, `explore NAME NUMBER`, `setup-complete`, `quiet SECONDS`; or one of the JSON lines that the SDKs of Antithesis write.
 *
 * @returns undefined for another line
 */
export function readReport(line: string): Report | undefined {
  const text = line.trim()
  if (text.startsWith('{')) return ofSdk(parsed(text))
  if (text === 'setup-complete') return { kind: 'setup-complete' }
  const [, seconds] = QUIET.exec(text) ?? []
  if (seconds !== undefined) return { kind: 'quiet', seconds: Number(seconds) }
  const [, what, counted, count] = COUNTED.exec(text) ?? []
  if (counted !== undefined)
    return { kind: what as 'promised' | 'found' | 'explore', name: counted, count: Number(count) }
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

/** Tells whether a property has held. A property that has to hold once, or to be reached, was never seen until it did. */
export const stateOf = ({ kind, passed, failed }: Property): 'held' | 'failed' | 'never seen' => {
  const isBroken = failed > 0 && (kind === 'always' || kind === 'unreachable')
  return isBroken ? 'failed' : passed > 0 || kind === 'unreachable' ? 'held' : 'never seen'
}

/** The properties of a run. */
export class Properties {
  readonly #all = new Map<string, { -readonly [Key in keyof Property]: Property[Key] }>()
  /** The last number that was promised, by machine and name. */
  readonly #promised = new Map<string, number>()

  /** The same properties, which go on by themselves. */
  copy(): Properties {
    const copy = new Properties()
    for (const [name, property] of this.#all) copy.#all.set(name, { ...property })
    for (const [name, count] of this.#promised) copy.#promised.set(name, count)
    return copy
  }

  /**
   * Notes a report of a machine. A number that is found is to be at least the last one that was promised.
   *
   * @returns why a property is broken; undefined: none is
   */
  note(report: Report, machine: string): string | undefined {
    if (report.kind === 'setup-complete' || report.kind === 'quiet' || report.kind === 'explore') return undefined
    if (!('count' in report)) return this.#note(report, machine)
    const key = `${machine} ${report.name}`
    if (report.kind === 'promised') {
      this.#promised.set(key, report.count)
      return undefined
    }
    const promised = this.#promised.get(key) ?? 0
    const details = { promised, found: report.count }
    return this.#note({ kind: 'always', name: report.name, ok: report.count >= promised, details }, machine)
  }

  /** Adds the properties of another run. */
  add(properties: readonly Property[]): void {
    for (const { passed, failed, ...named } of properties) {
      const property = this.#of(named)
      property.passed += passed
      property.failed += failed
    }
  }

  #of({ kind, name }: Pick<Property, 'kind' | 'name'>): { -readonly [Key in keyof Property]: Property[Key] } {
    const property = this.#all.get(`${kind} ${name}`) ?? { kind, name, passed: 0, failed: 0 }
    this.#all.set(`${kind} ${name}`, property)
    return property
  }

  #note(report: PropertyReport, machine: string): string | undefined {
    const { kind, name } = report
    const property = this.#of(report)
    if (report.isDeclared === true) return undefined
    const passes = kind !== 'unreachable' && report.ok
    if (passes) property.passed++
    else property.failed++
    if (passes || (kind !== 'always' && kind !== 'unreachable')) return undefined
    const details = report.details === undefined ? '' : `: ${JSON.stringify(report.details)}`
    return `${kind} ${name} failed on ${machine}${details}`
  }

  /** All that were reported, by name. */
  get all(): readonly Property[] {
    return [...this.#all.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1))
  }
}

/** The properties that were reported between two instants of a run. */
export function propertiesSince(before: readonly Property[], after: readonly Property[]): readonly Property[] {
  return after.map((property) => {
    const { kind, name, passed, failed } = property
    const old = before.find((one) => one.kind === kind && one.name === name)
    return { kind, name, passed: passed - (old?.passed ?? 0), failed: failed - (old?.failed ?? 0) }
  })
}
