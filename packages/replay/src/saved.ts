import { bytesOfHex, type AccessDescription, ReplayError } from './errors.ts'
import { AccessKind, KIND_NAMES, STATE_NAMES } from './kinds.ts'

/** One record of a {@link SavedLog}. */
export interface SavedAccess extends AccessDescription {
  /** Walk reads: the walks, by number, that read this value. */
  readonly walks?: { readonly born: number; readonly died: number }
}

/** The result of `AccessLog.save`: plain data. */
export interface SavedLog {
  /** Version of this shape. */
  readonly version: 1
  /** Whether an instruction was under way; if not, there are no accesses. */
  readonly active: boolean
  /** Accesses in order. */
  readonly accesses: readonly SavedAccess[]
}

interface Source {
  readonly active: boolean
  dump(): AccessDescription[]
}

/** An access as numbers. */
interface RestoredAccess {
  readonly kind: number
  readonly lo: number
  readonly hi: number
  readonly size: number
  readonly tag: number
  readonly state: number
  readonly data: Uint8Array
  /** The walks that a walk read is good for. */
  readonly born: number
  readonly died: number
}

interface Target {
  begin(): void
  abandon(): void
  append(access: RestoredAccess): void
}

/** For `AccessLog.save`. */
export function saveLog(log: Source, walksOf: (index: number) => { born: number; died: number }): SavedLog {
  const accesses = log
    .dump()
    .map((access, index) => (access.kind === 'walk-read' ? { ...access, walks: walksOf(index) } : access))
  return { version: 1, active: log.active, accesses }
}

/** For `AccessLog.restore`. */
export function restoreLog(saved: SavedLog, into: Target): void {
  if (typeof saved !== 'object' || saved === null) throw bad('expected an object')
  if (!Array.isArray(saved.accesses)) throw bad('expected an array of accesses')
  if (saved.version !== 1) throw bad(`version ${String(saved.version)}, expected 1`)
  if (!saved.active) {
    if (saved.accesses.length > 0) throw bad('accesses of no instruction')
    return
  }
  into.begin()
  try {
    let pending = 0
    for (const access of saved.accesses) {
      checkAccess(access)
      const kind = KIND_NAMES.indexOf(access.kind)
      const state = [...STATE_NAMES].find(([, name]) => name === access.state)?.[0]
      const data = bytesOfHex(access.data ?? '')
      if (kind < 0 || state === undefined || data === undefined || data.length > access.size)
        throw bad(`access ${access.ordinal}`)
      if (access.state === 'pending' && ++pending > 1) throw bad('two accesses that wait')
      if (kind === AccessKind.WALK_READ && access.walks === undefined) throw bad(`walk read ${access.ordinal}`)
      if (!/^0x[0-9a-f]{1,16}$/.test(access.address)) throw bad(`address ${access.address}`)
      const address = BigInt(access.address)
      const lo = Number(address & 0xffff_ffffn)
      const hi = Number(address >> 32n)
      const { size, tag, walks: { born, died } = { born: 0, died: 0 } } = access
      into.append({ kind, lo, hi, size, tag, state, data, born, died })
    }
  } catch (error) {
    into.abandon()
    throw error instanceof ReplayError && error.code !== 'ERR_SAVED' ? bad(error.message) : error
  }
}

function bad(what: string): ReplayError {
  return new ReplayError('ERR_SAVED', `not a saved log: ${what}`)
}

/** Checks the types of an access's fields; values are checked where they are used. */
function checkAccess(access: SavedAccess): void {
  if (typeof access !== 'object' || access === null) throw bad('an access that is not an object')
  const { ordinal, address, size, tag, data } = access
  for (const [name, value] of Object.entries({ ordinal, size, tag })) {
    if (!Number.isSafeInteger(value)) throw bad(`${name} of an access that is not an integer`)
  }
  if (typeof address !== 'string') throw bad('address of an access that is not text')
  if (data !== undefined && typeof data !== 'string') throw bad('data of an access that is not text')
}
