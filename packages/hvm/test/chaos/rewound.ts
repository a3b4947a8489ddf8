/** The machine that need not wait, brought to where the other was cancelled. */
import { INTERRUPT } from './kinds.ts'
import { describeAccess, LOGGED, type SavedDevices } from './devices.ts'
import { TABLES, TABLES_END } from './layout.ts'
import type { ChaosMachine } from './machine.ts'

/** The word of RCX, of which programs use the lower half. */
const RCX_WORD = 2
const ACCESSED_DIRTY = 0x60
const FLAG_RF = 0x1_0000
/** Of {@link CpuRegisters.parts}, and in that: the row that a tile goes on with. */
const [EXTENDED, START_ROW] = [3, 0x101]

/** Executes one instruction, as the others do with RF set, which a repeated one leaves in frames. */
function step({ cpu }: ChaosMachine): void {
  cpu.setRflags(cpu.materialiseFlags() | FLAG_RF)
  cpu.step()
}

/** A machine before an instruction, and what became of it when nothing disturbed it. */
export class Rewound {
  readonly #machine: ChaosMachine
  readonly #cpu: Uint8Array
  readonly #ram: Uint8Array
  readonly #devices: SavedDevices
  /** RAM, the devices' log, and registers, after the instruction. */
  #after: Uint8Array = new Uint8Array()
  #log: Int32Array = new Int32Array()
  #registers: readonly Uint8Array[] = []

  /** @param machine - about to begin an instruction */
  constructor(machine: ChaosMachine) {
    this.#machine = machine
    this.#cpu = machine.cpu.u8.slice()
    this.#ram = machine.ram.slice()
    this.#devices = machine.devices.save()
  }

  ended(): void {
    const { ram, devices, cpu } = this.#machine
    this.#registers = cpu.registers.parts.map((part) => part.slice())
    this.#after = ram.slice()
    this.#log = devices.log.slice(0, devices.logged)
  }

  /**
   * Brings the machine back to before the instruction, and on to where the other is.
   *
   * @param retired - instructions that the other has retired since
   * @param shadowed - an interrupt waited when it began, after STI
   * @param iterations - those of the next instruction that it has completed
   */
  reach(retired: number, shadowed: boolean, iterations: number): void {
    const machine = this.#machine
    const { cpu } = machine
    machine.ram.set(this.#ram)
    machine.codeHasChanged()
    machine.devices.restore(this.#devices)
    machine.romStores.length = 0
    cpu.cancel()
    machine.setState(this.#cpu)
    machine.endInterrupts()
    const before = cpu.retired
    // STI holds off what waits; where nothing does, nothing is held off.
    if (shadowed) machine.interrupt(INTERRUPT)
    while (cpu.retired < before + retired) step(machine)
    machine.endInterrupts()
    if (iterations === 0) return
    // As many iterations as the other has made, of an instruction that is to make no more.
    const { registers } = cpu
    const count = registers.generalWords[RCX_WORD]!
    const { eip } = registers
    const flags = cpu.materialiseFlags()
    registers.generalWords[RCX_WORD] = iterations
    while (cpu.retired === before + retired) step(machine)
    registers.generalWords[RCX_WORD] = count - iterations
    registers.eip = eip
    // Those of a repeated comparison are set when it ends (Intel SDM vol. 2B, "REP").
    cpu.setRflags(flags)
  }

  /**
   * What is ended in the middle leaves the parts before in registers and memory, and says where it goes on (Intel SDM vol. 2C,
   * "VGATHERDPD", "VPSCATTERDD"; vol. 1, "Programming with Intel AMX"): as the whole instruction leaves them.
   */
  adoptParts(other: ChaosMachine): void {
    const theirs = other.registers()
    for (const [i, part] of this.#machine.registers().entries()) {
      const after = this.#registers[i]!
      for (const [at, byte] of theirs[i]!.entries())
        if (byte === after[at] || (i === EXTENDED && at === START_ROW)) part[at] = byte
    }
    this.adoptElements(other)
  }

  /**
   * The devices have seen what they have: of a cancelled instruction, what has been asked for has happened, and is a
   * beginning of what it asks for undisturbed (`reference/replay.md`, "Cancellation": the answer still arrives, and is
   * dropped).
   *
   * @returns what is wrong with that, or undefined
   */
  follow(other: ChaosMachine): string | undefined {
    const { devices } = this.#machine
    const { log, logged } = other.devices
    for (let at = 0; at < logged; at += LOGGED) {
      for (let word = at; word < at + LOGGED; word++) {
        if (log[word] !== this.#log[word])
          return `the cancelled instruction has made ${describeAccess(other.devices, at)}, which it does not undisturbed`
      }
      if (at >= devices.logged) {
        const [kind, offset, size, value] = log.subarray(at, at + LOGGED)
        devices.access(kind! >>> 1, kind! & 1, offset!, size!, value!)
      }
    }
    return undefined
  }

  /**
   * A request for several iterations names memory that the device writes by itself, as it does by DMA: what it has written
   * before it heard of the event is what the whole instruction would have written.
   */
  adoptElements(other: ChaosMachine): void {
    const { ram } = this.#machine
    for (const [at, byte] of other.ram.entries()) if (byte === this.#after[at]) ram[at] = byte
  }

  /**
   * A and D bits that walks of the cancelled instruction have set stay: each walk sets them when it succeeds (the design's
   * contract, rule 2), as a processor may for accesses that it does not complete (Intel SDM vol. 3A, "Accessed and Dirty
   * Flags"). No others than the whole instruction would have set.
   */
  adoptAccessed(other: ChaosMachine): void {
    const { ram } = this.#machine
    for (let at = TABLES; at < TABLES_END; at += 4) {
      const set = (other.ram[at] as number) & ~(ram[at] as number) & ACCESSED_DIRTY
      ram[at]! |= set & (this.#after[at] as number)
    }
    // They may lie in code, which the machine has decoded on its way here.
    this.#machine.codeHasChanged()
  }
}
