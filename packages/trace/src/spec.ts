/** Why a trace cannot be made. */
export type TraceErrorCode =
  /** An invalid trace specification. */
  'ERR_TRACE'

/** A caller's mistake with a trace. */
export class TraceError extends Error {
  /** Says which mistake. */
  readonly code: TraceErrorCode

  constructor(code: TraceErrorCode, message: string) {
    super(message)
    this.name = 'TraceError'
    this.code = code
  }
}

/** The kinds of events that can be traced. */
export type TraceKind = 'insn' | 'block' | 'irq' | 'exceptions' | 'pagewalk' | 'ioreq'

/** A kind of events to trace, and its filters. Fields that are absent leave nothing out. */
export interface TraceSpec {
  /** The kind of events. */
  readonly kind: TraceKind
  /** Only events of this vCPU. */
  readonly vcpu?: number
  /** Only events at this privilege level. */
  readonly cpl?: number
  /**
   * First and last address: linear of instructions, blocks' beginnings, interrupted code and page walks; a port or a
   * guest-physical address of accesses.
   */
  readonly address?: { readonly first: bigint; readonly last: bigint }
  /** This vector alone. */
  readonly vector?: number
  /** The device with this name alone. */
  readonly device?: string
  /** The trace ends after this many records. */
  readonly limit?: number
}

type Filter = Exclude<keyof TraceSpec, 'kind'>

/** Filters that each kind takes. */
const FILTERS: Readonly<Record<TraceKind, readonly Filter[]>> = {
  insn: ['vcpu', 'address', 'cpl', 'limit'],
  block: ['vcpu', 'address', 'cpl', 'limit'],
  irq: ['vcpu', 'address', 'cpl', 'vector', 'limit'],
  exceptions: ['vcpu', 'address', 'cpl', 'vector', 'limit'],
  pagewalk: ['vcpu', 'address', 'limit'],
  ioreq: ['vcpu', 'address', 'device', 'limit'],
}

/** All kinds of records. */
export const TRACE_KINDS: readonly TraceKind[] = Object.keys(FILTERS) as TraceKind[]

/** The largest INTID of a message of a GICv3: 24 bits. */
const MOST_VECTOR = 0xff_ffff
const NUMBER = /^(?:0x[\da-f]+|\d+)$/i

/**
 * Reads the description of a trace: `insn`, `exceptions,vector=14`, `insn,address=0x7c00-0x7dff,limit=1000`.
 *
 * @throws TraceError `ERR_TRACE` with the mistake and the expected words
 */
export function parseTrace(text: string): TraceSpec {
  const [kind = '', ...pairs] = text.split(',')
  if (!isKind(kind)) {
    const what = `trace '${kind}' is unknown: expected ${TRACE_KINDS.join(', ')}`
    throw new TraceError('ERR_TRACE', what)
  }
  const spec: Record<string, unknown> = { kind }
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const name = at < 0 ? pair : pair.slice(0, at)
    const value = at < 0 ? '' : pair.slice(at + 1)
    if (!FILTERS[kind].includes(name as Filter)) {
      const what = `trace ${kind} has no filter '${name}': expected ${FILTERS[kind].join(', ')}, as in vcpu=0`
      throw new TraceError('ERR_TRACE', what)
    }
    spec[name] = valueOf(kind, name as Filter, value)
  }
  return spec as unknown as TraceSpec
}

function isKind(text: string): text is TraceKind {
  return (TRACE_KINDS as readonly string[]).includes(text)
}

function valueOf(kind: TraceKind, name: Filter, value: string): unknown {
  const refuse = (expected: string): TraceError =>
    new TraceError('ERR_TRACE', `trace ${kind}: ${name} '${value}': expected ${expected}`)
  if (name === 'device') {
    if (value === '') throw refuse("a device's name")
    return value
  }
  if (name === 'address') {
    const [first = '', last = first, ...more] = value.split('-')
    if (!NUMBER.test(first) || !NUMBER.test(last) || more.length > 0 || BigInt(last) < BigInt(first))
      throw refuse('an address, or FIRST-LAST, such as 0x7c00-0x7dff')
    return { first: BigInt(first), last: BigInt(last) }
  }
  const most = name === 'cpl' ? 3 : name === 'vector' ? MOST_VECTOR : Number.MAX_SAFE_INTEGER
  if (!NUMBER.test(value) || Number(value) > most)
    throw refuse(`a whole number${most <= MOST_VECTOR ? ` up to ${most}` : ''}, such as 3 or 0x3`)
  return Number(value)
}

/** The facts that filters look at. */
export interface TraceSubject {
  /** Number of the vCPU; −1: not known. */
  readonly vcpu: number
  readonly cpl?: number
  readonly address?: bigint
  readonly vector?: number
  readonly device?: string
}

/** Whether a filter lets a subject through. */
export function lets(spec: TraceSpec, subject: TraceSubject): boolean {
  const { address } = spec
  if (address !== undefined && (subject.address! < address.first || subject.address! > address.last)) return false
  return (
    (spec.vcpu === undefined || spec.vcpu === subject.vcpu) &&
    (spec.cpl === undefined || spec.cpl === subject.cpl) &&
    (spec.vector === undefined || spec.vector === subject.vector) &&
    (spec.device === undefined || spec.device === subject.device)
  )
}
