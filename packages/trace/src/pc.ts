import { type GuestWalk, interruptSource, type X86Domain, type X86Vcpu } from '@retrap/hvm'
import { type DeliveredEvent, CS, MODE_64 } from '@retrap/x86-cpu'
import { decode } from '@retrap/x86-decoder'
import type { TraceRecord } from './record.ts'
import type { Told, TracedGuest } from './traced-guest.ts'
import { PAGE_BYTES } from '@retrap/memory'

/** Bytes of the longest instruction. */
const LONGEST = 15

/** Linear address of the next instruction. */
function linearAddress({ cpu: { registers } }: X86Vcpu): bigint {
  const address = registers.segmentBase(CS) + registers.rip
  return BigInt.asUintN(registers.mode === MODE_64 ? 64 : 32, address)
}

/** The bytes of an instruction and perhaps some behind it. Changes nothing of the guest. */
function codeAt(domain: X86Domain, vcpu: X86Vcpu, address: bigint): Uint8Array {
  const lo = Number(address & 0xffff_ffffn)
  const isPlain = (lo & (PAGE_BYTES - 1)) <= PAGE_BYTES - LONGEST && domain.a20 && !vcpu.cpu.inSystemManagement
  // One walk of the tables instead of one for each byte.
  const gpa = isPlain ? vcpu.translation.linearToPhysical(lo, Number(address >> 32n)) : -1
  const ma = gpa < 0 ? -1 : domain.p2m.translate(gpa)
  return ma < 0 ? vcpu.translation.peekCode(address, LONGEST) : domain.memory.u8.slice(ma, ma + LONGEST)
}

/** A PC's guest. */
export class TracedPc implements TracedGuest {
  readonly #domain: X86Domain
  readonly #told: Told
  /** The device that has last sent a message with a vector. */
  readonly #requesters = new Map<number, number>()

  constructor(domain: X86Domain, told: Told) {
    this.#domain = domain
    this.#told = told
    if (told.wants('irq'))
      domain.architecture.onMessage = (data, requester) => this.#requesters.set(data & 0xff, requester)
  }

  watch(steps: boolean, events: boolean, walks: boolean): void {
    const domain = this.#domain
    for (const vcpu of domain.vcpus) {
      vcpu.cpu.watch({
        ...(steps && { instruction: () => this.#instruction(domain, vcpu) }),
        ...(events && { event: (event) => this.#event(domain, vcpu, event) }),
      })
      vcpu.translation.watch = walks ? (walk) => this.#walked(vcpu, walk) : null
    }
  }

  addressOf(id: number): bigint | undefined {
    const vcpu = this.#domain.vcpus[id]
    return vcpu?.cpu.executing
  }

  retiredOf(id: number): number {
    return this.#domain.vcpus[id]?.cpu.retiredSoFar ?? 0
  }

  end(): void {
    this.#domain.architecture.onMessage = null
    for (const vcpu of this.#domain.vcpus) {
      vcpu.cpu.watch(null)
      vcpu.translation.watch = null
    }
  }

  #instruction(domain: X86Domain, vcpu: X86Vcpu): void {
    const address = linearAddress(vcpu)
    const mode = ([16, 32, 64] as const)[vcpu.cpu.registers.mode] ?? 16
    const { cpl } = vcpu.cpu.registers
    const where = { vcpu: vcpu.id, address, cpl }
    if (this.#told.wants('block')) {
      this.#told.blocks.add({ ...this.#told.place(vcpu.id), address, mode, cpl }, () => {
        const { length } = decode(codeAt(domain, vcpu, address), { mode, address })
        return length
      })
    }
    this.#told.tell('insn', where, () => {
      return { kind: 'insn', ...this.#told.place(vcpu.id), address, bytes: codeAt(domain, vcpu, address), mode, cpl }
    })
  }

  #event(domain: X86Domain, vcpu: X86Vcpu, { kind, vector, errorCode, address: cr2 }: DeliveredEvent): void {
    this.#told.blocks.interrupt(vcpu.id)
    const address = linearAddress(vcpu)
    const { cpl } = vcpu.cpu.registers
    const where = { vcpu: vcpu.id, address, cpl, vector }
    if (kind === 'exception') {
      const make = (): TraceRecord => {
        return { kind: 'exceptions', ...this.#told.place(vcpu.id), vector, errorCode, cr2, address, cpl }
      }
      return this.#told.tell('exceptions', where, make)
    }
    this.#told.tell('irq', where, () => {
      const source = kind === 'interrupt' ? this.#sourceOf(domain, vcpu.id, vector) : kind.toUpperCase()
      return { kind: 'irq', ...this.#told.place(vcpu.id), event: kind, vector, source, address, cpl }
    })
  }

  #sourceOf(domain: X86Domain, vcpu: number, vector: number): string {
    const source = interruptSource(domain, vcpu, vector)
    if (source !== 'message') return source
    const requester = this.#requesters.get(vector)
    return requester === undefined ? 'processor' : `message of ${functionName(requester)}`
  }

  #walked(vcpu: X86Vcpu, walk: GuestWalk): void {
    this.#told.tell('pagewalk', { vcpu: vcpu.id, address: walk.linear }, () => {
      return { kind: 'pagewalk', ...this.#told.place(vcpu.id), ...walk }
    })
  }
}

/** `00:04.0`, of a bus, device and function. */
function functionName(requester: number): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')
  return `${hex(requester >>> 8, 2)}:${hex((requester >>> 3) & 31, 2)}.${requester & 7}`
}
