import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { ControlWord, type ControlBlock } from './control-block.ts'
import { EPT } from './ept.ts'
import { noTable, P2mEntry, RadixTable, type TableCounters, type TableShape } from './radix-table.ts'
import { P2mType, P2M_EXECUTE, P2M_READ, P2M_WRITE } from './types.ts'
import { describeArgument } from '@retrap/basics'
import { P2mError } from './errors.ts'

/**
 * Accesses that a monitor leaves a frame, whatever its type is: the second mask on rights.
 *
 * The numbers are as in `xenmem_access_t` (xen/include/public/memory.h).
 */
export const P2mAccess = {
  N: 0,
  R: 1,
  W: 2,
  RW: 3,
  X: 4,
  RX: 5,
  WX: 6,
  RWX: 7,
  /** Read and execute; the first write makes it RW, permanently. */
  RX2RW: 8,
  /** Nothing; the first access makes it RWX, and is reported. */
  N2RWX: 9,
  /** Read, and written by the processor's page walks alone. */
  R_PW: 10,
} as const

/** A value of `P2mAccess`. */
export type P2mAccess = (typeof P2mAccess)[keyof typeof P2mAccess]

/** Rights by number of the access. */
const RIGHTS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7, P2M_READ | P2M_EXECUTE, 0, P2M_READ]

/** Rights that an access leaves over. A processor cannot have W without R (SDM, "EPT Misconfigurations"). */
export function rightsOfAccess(access: number): number {
  const rights = RIGHTS[access] ?? 0
  return (rights & P2M_READ) === 0 ? rights & ~P2M_WRITE : rights
}

/** Refuses an invalid access value. */
export function checkAccess(access: number): void {
  if (typeof access === 'number' && access in RIGHTS) return
  throw new P2mError('ERR_TYPE', `access ${describeArgument(access)}: expected one of P2mAccess`, { access })
}

/**
 * The rights of frames' users, for maps whose entries have no bits for that: a tree of its own beside the tables, of the same
 * shape, made with the first setting. It is changed before the entry that follows it, so that a change that fails in between
 * needs no undoing.
 */
export class AccessTree {
  readonly #memory: MachineMemory
  readonly #control: ControlBlock
  readonly #shape: TableShape
  readonly #entry = new P2mEntry()
  #table: RadixTable | null = null

  constructor(memory: MachineMemory, control: ControlBlock, limit: number) {
    this.#memory = memory
    this.#control = control
    this.#shape = { levels: 4, roots: 1, limit }
  }

  /** Whether a frame's rights are restricted, or once were. */
  get used(): boolean {
    return this.#control.word(ControlWord.ACCESS_ROOT) !== 0
  }

  /** Returns the rights of a frame. */
  get(gfn: number): number {
    if (!this.used) return 7
    this.#tree().lookup(gfn, this.#entry)
    return this.#entry.access
  }

  /** Whether all frames of an aligned run have the same rights, as a leaf's frames have. */
  isUniform(gfn: number, order: number): boolean {
    this.get(gfn)
    return !this.used || this.#entry.order >= order || this.#tree().isWhole(gfn, order)
  }

  /** Gives an aligned run of frames the same rights. @throws P2mError `ERR_NO_MEMORY`; nothing has changed then */
  set(gfn: number, order: number, access: number): void {
    if (!this.used) {
      const root = this.#memory.frames.tryAllocate(0)
      if (root < 0) throw noTable(this.#memory)
      this.#control.setWord(ControlWord.ACCESS_ROOT, root * PAGE_BYTES)
      this.#control.setWord(ControlWord.ACCESS_TABLES, 1)
    }
    const ma = this.#tree().path(gfn, order, this.#memoryPublisher)
    const [lo, hi] = this.#memory.u32.subarray(ma / 4, ma / 4 + 2)
    this.#memory.publishEntry(ma, EPT.leafLo(-1, P2mType.RAM_RW, 0, order), EPT.leafHi(P2mType.RAM_RW, 0, access))
    if (EPT.isTable(lo!, hi!, order / 9 + 1)) this.#tree().freeBelow(lo!, hi!, order / 9 + 1)
  }

  /** To be called before the map is destroyed. */
  close(): void {
    if (!this.used) return
    this.#tree().free(this.#control.word(ControlWord.ACCESS_ROOT), this.#shape.levels)
    this.#control.setWord(ControlWord.ACCESS_ROOT, 0)
    this.#table = null
  }

  readonly #memoryPublisher = {
    publish: (ma: number, lo: number, hi: number): void => this.#memory.publishEntry(ma, lo, hi),
  }

  #tree(): RadixTable {
    this.#table ??= new RadixTable(this.#memory, treeCounters(this.#control), EPT, this.#shape)
    return this.#table
  }
}

function treeCounters(control: ControlBlock): TableCounters {
  return {
    root: control.word(ControlWord.ACCESS_ROOT),
    get tables() {
      return control.word(ControlWord.ACCESS_TABLES)
    },
    set tables(value) {
      control.setWord(ControlWord.ACCESS_TABLES, value)
    },
    get reclaims() {
      return control.reclaims
    },
    raiseReclaims: () => control.raiseReclaims(),
  }
}
