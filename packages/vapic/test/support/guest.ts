/**
 * A 32-bit guest as the patcher expects one: kernel at 0x80000000, the local APIC's page at 0xFFFE0000, a KPCR in FS. Its
 * processor is real; the task priority register is a page without memory behind it.
 */
import { MachineMemory } from '@retrap/memory'
import { FlatHost, saveVcpu, Vcpu, X86Engine } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'
import { readStructure, ROM_STRUCTURE, type TprReport, type VapicHost, VapicPatcher } from '../../src/index.ts'

const RAM_BYTES = 0x40_0000
/** Where firmware put the ROM. */
export const ROM_GPA = 0xc_8000
/** Linear address of guest-physical 0. */
export const KERNEL = 0x8000_0000
export const CODE = 0x1_0000
const STACK = 0x2_0000
/** The KPCR of the processor. */
export const KPCR = 0x3_0000
const PAGE_DIRECTORY = 0x10_0000
const APIC_TABLE = 0x10_1000
const APIC_GPA = 0xfee0_0000
/** Linear address of the task priority register. */
export const TPR = 0xfffe_0080

const CODE_SEGMENT = { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b }
const DATA_SEGMENT = { selector: 16, base: 0, limit: 0xffff_ffff, attributes: 0xc093 }
const NO_SEGMENT = { selector: 0, base: 0, limit: 0, attributes: 0x8082 }

class Board extends FlatHost {
  guest: Guest | undefined

  override physicalRead(gpa: number, size: number, into: { lo: number; hi: number }): number {
    return this.guest?.apicRead(gpa, size, into) ?? 0
  }

  override physicalWrite(gpa: number, size: number, lo: number): number {
    return this.guest?.apicWrite(gpa, size, lo) ?? 0
  }

  override portWrite(port: number, size: number, value: number): number {
    if (port === 0x7e) this.guest?.patcher.portWrite(0, size, value)
    return 0
  }

  override hypercall(): number {
    this.guest?.patcher.poll(0)
    return 0
  }
}

export class Guest implements VapicHost {
  vcpuCount: number
  pollMethod: VapicHost['pollMethod']
  readonly patcher: VapicPatcher
  readonly board: Board
  readonly vcpu: Vcpu
  readonly log: string[]
  /** The real register. */
  tpr: number
  romWritable: { gpa: number; bytes: number } | undefined
  stopped: number
  /** Where each vCPU's task priority lives, as the patcher has asked. */
  readonly records: Map<number, number>
  /** Called while all vCPUs are stopped. */
  whileStopped: () => void
  #eip: number
  #report: TprReport | undefined
  reporting: boolean

  constructor(vcpuCount: number = 1) {
    this.vcpuCount = vcpuCount
    this.pollMethod = 'vmcall'
    this.log = []
    this.tpr = 0
    this.stopped = 0
    this.whileStopped = () => {}
    this.reporting = false
    this.records = new Map()
    this.romWritable = undefined
    this.#eip = 0
    this.#report = undefined
    const memory = MachineMemory.create({ bytes: 16 << 20 })
    this.board = new Board(memory, RAM_BYTES)
    this.vcpu = new Vcpu(new X86Engine(memory, { codeCacheBytes: 1 << 20, jit: TEST_JIT }), this.board, {
      tscHz: 1e9,
      crystalHz: 1e9,
    })
    this.board.attach(this.vcpu)
    this.board.guest = this
    this.patcher = new VapicPatcher(this)
    this.#tables()
    this.setKpcr(0)
  }

  #tables(): void {
    // The first 4 MiB at 0 and at 0x80000000, as large pages.
    this.write32(PAGE_DIRECTORY, 0x83)
    this.write32(PAGE_DIRECTORY + (KERNEL >>> 22) * 4, 0x83)
    this.write32(PAGE_DIRECTORY + (TPR >>> 22) * 4, APIC_TABLE | 3)
    this.write32(APIC_TABLE + ((TPR >>> 12) & 0x3ff) * 4, (APIC_GPA | 0x13) >>> 0)
  }

  write32(gpa: number, value: number): void {
    this.board.load(gpa, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24))
  }

  read32(gpa: number): number {
    const bytes = new Uint8Array(4)
    this.readPhysical(gpa, bytes)
    return new DataView(bytes.buffer).getUint32(0, true)
  }

  setKpcr(number: number): void {
    this.write32(KPCR + 0x1c, KERNEL + KPCR)
    this.board.load(KPCR + 0x51, Uint8Array.of(number))
  }

  /** Guest-physical address of the records, as the ROM says. */
  get area(): number {
    const bytes = new Uint8Array(0x100)
    this.readPhysical(ROM_GPA + ROM_STRUCTURE, bytes)
    const structure = readStructure(bytes)
    if (structure === undefined) throw new Error('no ROM')
    return ROM_GPA + ROM_STRUCTURE + structure.area - structure.self
  }

  /** Puts a ROM where firmware would, and calls its entry: 16-bit code in real mode. */
  loadRom(image: Uint8Array): void {
    this.board.load(ROM_GPA, image)
    const segment = { selector: ROM_GPA >>> 4, base: ROM_GPA, limit: 0xffff, attributes: 0x9b }
    const zero = { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 }
    // The far return leads to HLT at 0000:0600.
    this.board.load(0x600, Uint8Array.of(0xf4))
    this.board.load(0x7000, Uint8Array.of(0x00, 0x06, 0x00, 0x00))
    this.vcpu.reset(true)
    this.vcpu.load({
      registers: { rip: 3, rsp: 0x7000, rflags: 2 },
      segments: { es: zero, cs: segment, ss: zero, ds: zero, fs: zero, gs: zero, ldtr: NO_SEGMENT, tr: NO_SEGMENT },
      gdtr: { base: 0, limit: 0 },
      idtr: { base: 0, limit: 0 },
      cr0: 0x10,
      cr3: 0,
      cr4: 0,
      efer: 0,
    })
    for (let steps = 0; steps < 20_000; steps++) {
      this.#eip = (ROM_GPA + this.vcpu.registers.eip) >>> 0
      if (this.vcpu.step().reason === 'hlt') return
    }
    throw new Error('the ROM did not return')
  }

  /** Runs code in the kernel, one instruction at a time, until HLT. @returns registers EAX to EDI */
  run(code: readonly number[], registers: readonly number[] = [1, 2, 3, 4, 0, 6, 7, 8], at: number = CODE): number[] {
    this.board.load(at, Uint8Array.from([...code, 0xf4]))
    const [rax = 0, rcx = 0, rdx = 0, rbx = 0, , rbp = 0, rsi = 0, rdi = 0] = registers
    this.vcpu.reset(true)
    this.vcpu.load({
      registers: { rax, rcx, rdx, rbx, rsp: KERNEL + STACK, rbp, rsi, rdi, rip: KERNEL + at, rflags: 0x8d7 },
      segments: {
        es: DATA_SEGMENT,
        cs: CODE_SEGMENT,
        ss: DATA_SEGMENT,
        ds: DATA_SEGMENT,
        fs: { selector: 0x30, base: KERNEL + KPCR, limit: 0xffff_ffff, attributes: 0xc093 },
        gs: NO_SEGMENT,
        ldtr: NO_SEGMENT,
        tr: NO_SEGMENT,
      },
      gdtr: { base: 0, limit: 0 },
      idtr: { base: 0, limit: 0 },
      cr0: 0x8000_0011,
      cr3: PAGE_DIRECTORY,
      cr4: 0x10,
      efer: 0,
    })
    for (let steps = 0; steps < 500; steps++) {
      this.#eip = this.vcpu.registers.eip
      const exit = this.vcpu.step()
      const report = this.#report
      this.#report = undefined
      if (report !== undefined && this.reporting) this.patcher.report(0, report)
      if (exit.reason === 'hlt') return this.registersNow()
      if (exit.reason !== 'budget') throw new Error(`the guest ended with ${JSON.stringify(exit)}`)
    }
    throw new Error('the guest did not halt')
  }

  registersNow(): number[] {
    return Array.from({ length: 8 }, (_, register) => this.vcpu.registers.generalWords[register * 2]!)
  }

  flagsNow(): number {
    return Number(saveVcpu(this.vcpu).registers['rflags'])
  }

  apicRead(gpa: number, size: number, into: { lo: number; hi: number }): number {
    into.lo = gpa === APIC_GPA + 0x80 ? this.tpr : 0
    into.hi = 0
    if (gpa === APIC_GPA + 0x80) this.#noted('read', gpa, size)
    return 0
  }

  apicWrite(gpa: number, size: number, value: number): number {
    if (gpa === APIC_GPA + 0x80) {
      this.tpr = value & 0xff
      this.#noted('write', gpa, size)
    }
    return 0
  }

  #noted(access: 'read' | 'write', gpa: number, size: number): void {
    this.log.push(`${access} ${size}`)
    this.#report = { access, gpa }
  }

  // The patcher's view.

  registers(): { eip: number; esp: number; fsBase: number } {
    return { eip: this.#eip, esp: this.vcpu.registers.generalWords[8]!, fsBase: KERNEL + KPCR }
  }

  translate(_vcpu: number, address: number): number | undefined {
    if (address >= KERNEL && address < KERNEL + RAM_BYTES) return address - KERNEL
    if (address < RAM_BYTES) return address
    return address >>> 12 === TPR >>> 12 ? APIC_GPA + (address & 0xfff) : undefined
  }

  readLinear(_vcpu: number, address: number, into: Uint8Array): boolean {
    const gpa = this.translate(0, address)
    return gpa !== undefined && this.readPhysical(gpa, into)
  }

  writeLinear(_vcpu: number, address: number, from: Uint8Array): boolean {
    const gpa = this.translate(0, address)
    if (gpa === undefined || gpa + from.length > RAM_BYTES) return false
    this.log.push(`patch ${address.toString(16)}`)
    this.board.load(gpa, from)
    return true
  }

  readPhysical(gpa: number, into: Uint8Array): boolean {
    if (gpa + into.length > RAM_BYTES) return false
    into.set(this.board.memory.u8.subarray(this.board.ramMa + gpa, this.board.ramMa + gpa + into.length))
    return true
  }

  writePhysical(gpa: number, from: Uint8Array): boolean {
    if (gpa + from.length > RAM_BYTES) return false
    this.log.push(`rom ${gpa.toString(16)}+${from.length.toString(16)}`)
    this.board.load(gpa, from)
    return true
  }

  mapRomWritable(gpa: number, bytes: number): void {
    this.romWritable = { gpa, bytes }
  }

  unmapRom(): void {
    this.romWritable = undefined
  }

  reportTprAccesses(enabled: boolean): void {
    this.reporting = enabled
  }

  stopAll(): void {
    this.stopped++
    this.whileStopped()
  }

  resumeAll(): void {
    this.stopped--
  }

  dropCode(): void {
    // `load` drops what it writes.
  }

  useRecord(vcpu: number, gpa: number | undefined): void {
    if (gpa === undefined) this.records.delete(vcpu)
    else this.records.set(vcpu, gpa)
  }

  *findWords(first: number, last: number): Iterable<{ gpa: number; value: number }> {
    const { memory, ramMa } = this.board
    for (let gpa = 0; gpa < RAM_BYTES; gpa += 4) {
      const value = memory.u32[(ramMa + gpa) >>> 2] as number
      if (value >= first && value <= last) yield { gpa, value }
    }
  }

  pollInterrupts(): void {
    this.log.push('poll')
  }
}
