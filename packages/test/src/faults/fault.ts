import { TestError } from '../errors.ts'

/** A thing that happens between a device and its machine, and that a fault can befall. */
export type FaultAct = 'read' | 'write' | 'interrupt' | 'dma' | 'timer'

/** The kinds of difference of a faulty act. */
export type FaultKind = 'late' | 'wrong' | 'lost' | 'never' | 'removed'

/** A fault of a device: plain data. */
export interface DeviceFault {
  /** The device's name. */
  readonly device: string
  /** The kind of act that the fault changes. `dma` is a write of the device's into guest memory; `interrupt` is one that comes. */
  readonly act: FaultAct
  /** Number of the act among the device's acts of its kind, from 1 at power-on; `region` and `offset` restrict the counted acts. */
  readonly nth: number
  /** The difference of the act. */
  readonly kind: FaultKind
  /** Only accesses of this region count: `bar 0`, `ports 0x300`, `memory 0xfed90000`. Default: all. */
  readonly region?: string | undefined
  /** Only accesses at this offset of their region count. Default: all. */
  readonly offset?: number | undefined
  /** `late`: nanoseconds of the guest's clock. */
  readonly ns?: number | undefined
  /** `wrong`: the bits that are flipped, of the low 32; of DMA, in its first bytes. */
  readonly bits?: number | undefined
}

/** A kind of fault. */
interface FaultRow {
  /** The acts that the fault can affect. */
  readonly acts: readonly FaultAct[]
  /** Whether sound hardware may do so, and every driver has to bear it. */
  readonly sound: boolean
  /** Says for people how the act goes. */
  says(fault: DeviceFault): string
}

/** All kinds of faults. */
export const FAULT_KINDS: Readonly<Record<FaultKind, FaultRow>> = {
  late: {
    acts: ['write', 'interrupt', 'dma', 'timer'],
    sound: true,
    says: ({ ns = 0 }) => `comes ${time(ns)} late`,
  },
  wrong: {
    acts: ['read', 'dma'],
    sound: false,
    says: ({ bits = 0 }) => `is wrong in the bits 0x${(bits >>> 0).toString(16)}`,
  },
  lost: { acts: ['write', 'interrupt', 'dma', 'timer'], sound: false, says: () => 'is lost' },
  never: { acts: ['read', 'write'], sound: false, says: () => 'is never answered' },
  removed: {
    acts: ['read', 'write', 'interrupt', 'dma', 'timer'],
    sound: false,
    says: () => 'finds the device gone: it was taken out by surprise',
  },
}

/** Names of acts for people. */
const ACTS: Readonly<Record<FaultAct, string>> = {
  read: 'read of its registers',
  write: 'write to its registers',
  interrupt: 'interrupt',
  dma: 'write into guest memory',
  timer: 'deadline',
}

/** Says a fault in words. */
export function describeFault(fault: DeviceFault): string {
  const { device, act, nth, kind, region, offset } = fault
  const place = region === undefined ? '' : ` in ${region}`
  const at = offset === undefined ? '' : ` at 0x${offset.toString(16)}`
  return `${device}: the ${ordinal(nth)} ${ACTS[act]}${place}${at} ${FAULT_KINDS[kind].says(fault)}`
}

/** Sentences for impossible combinations that need an explanation. */
const REFUSED: Readonly<Record<string, string>> = {
  'late read':
    'the machine’s time stands still while its guest reads; have the interrupt, the DMA or the deadline come late',
  'lost read': 'a read has an answer, or none: use wrong or never',
}

/** Refuses a fault that cannot be. @throws TestError `ERR_OPTION` */
export function checkFault(fault: DeviceFault): void {
  const { kind, act, nth, ns, bits } = fault
  const bad = (why: string): TestError => new TestError('ERR_OPTION', `a fault of ${fault.device}: ${why}`)
  const row = FAULT_KINDS[kind] as FaultRow | undefined
  if (row === undefined || ACTS[act] === undefined)
    throw bad(`'${kind}' of '${act}': expected ${words(FAULT_KINDS)}, of ${words(ACTS)}`)
  if (!row.acts.includes(act))
    throw bad(`${kind} of ${act}: ${REFUSED[`${kind} ${act}`] ?? `expected ${row.acts.join(', ')}`}`)
  if (!(Number.isSafeInteger(nth) && nth >= 1)) throw bad(`nth ${nth}: expected a whole number from 1 on`)
  if (kind === 'late' && !(Number.isSafeInteger(ns) && ns! >= 1))
    throw bad(`ns ${ns}: expected whole nanoseconds from 1 on`)
  if (kind === 'wrong' && !(Number.isInteger(bits) && bits !== 0)) throw bad(`bits ${bits}: expected bits to flip`)
  if ((fault.region ?? fault.offset) !== undefined && act !== 'read' && act !== 'write')
    throw bad(`region and offset are of reads and writes, and not of ${act}`)
}

const words = (table: object): string => Object.keys(table).join(', ')

function time(ns: number): string {
  if (ns < 1e3) return `${ns} ns`
  return ns < 1e6 ? `${ns / 1e3} µs` : `${ns / 1e6} ms`
}

function ordinal(n: number): string {
  const tens = n % 100
  const ending = tens > 10 && tens < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')
  return `${n}${ending}`
}
