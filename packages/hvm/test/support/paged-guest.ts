import { defineDevice, type DeviceModel } from '@retrap/device'
import { type Assembler, al, cr0, cr3, eax, imm32 } from '@retrap/x86-assembler'
import { EXIT_PORT, Guest, type GuestOptions } from './guest.ts'

/** Page directory; tables for the first 4 MiB, which are the same in both spaces, and for the next. */
export const PD = 0x2_0000
export const PT_LOW = 0x2_1000
export const PT_HIGH = 0x2_2000
const PT_APIC = 0x2_3000
const APIC = 0xfee0_0000
/** A page of its own table, and the frame behind it. */
export const BUFFER = 0x40_0000
export const BUFFER_GPA = 0x5_0000
/** The page after it. */
export const OTHER = 0x40_1000
export const OTHER_GPA = 0x5_1000
/** RAM ends here, and the device begins. */
export const DEVICE = 0x10_0000
const DEVICE_BYTES = 0x4000
export const RESULT = 0x4000
/** Where a page fault leads: the domain ends with 14. */
const PAGE_FAULT_HANDLER = 0x7100

/** A device whose every access waits until `between` has run, in a later task. */
export class SlowDevice {
  readonly seen: string[] = []
  /** Called with the number of the access, from 1 on, before it is answered. */
  between: (access: number) => void | Promise<void> = () => undefined
  /** Values of reads, in order; then zeros. */
  readonly values: number[]
  readonly model: DeviceModel
  #reads = 0

  /** @param prompt - it answers at once instead */
  constructor(values: readonly number[] = [], prompt = false) {
    this.values = [...values]
    const answer = <T>(value: T): T | Promise<T> => (prompt ? value : this.#pause().then(() => value))
    this.model = defineDevice({
      name: 'slow',
      synchronous: prompt,
      mmio: { base: DEVICE, size: DEVICE_BYTES },
      ports: { base: 0x80, size: 4 },
      read: (offset, size) => {
        this.seen.push(`read ${offset.toString(16)}/${size}`)
        return answer(this.values[this.#reads++] ?? 0)
      },
      write: (offset, size, value) => {
        this.seen.push(`write ${offset.toString(16)}/${size}=${value.toString(16)}`)
        return answer(undefined)
      },
    })
  }

  async #pause(): Promise<void> {
    const access = this.seen.length
    await new Promise((resolve) => setImmediate(resolve))
    await this.between(access)
  }
}

export const leave = (asm: Assembler, code = 0): Assembler => asm.mov(al, code).out(EXIT_PORT, al).hlt()

/** Turns paging on. */
export const page = (asm: Assembler): Assembler =>
  asm.mov(eax, PD).mov(cr3, eax).mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)

/** A {@link Guest} with two-level paging, and a device behind its RAM that takes its time. */
export function pagedGuest(
  build: (asm: Assembler) => void,
  device: SlowDevice,
  options: Omit<GuestOptions, 'devices'> & { readonly devices?: readonly DeviceModel[] } = {},
): Guest {
  const guest = new Guest(
    (asm) => {
      page(asm)
      build(asm)
    },
    { ...options, devices: [device.model, ...(options.devices ?? [])] },
  )
  write32(guest, PD, PT_LOW | 7)
  write32(guest, PD + 4, PT_HIGH | 7)
  const low = Uint32Array.from({ length: 1024 }, (_, i) => (i << 12) | 7)
  guest.domain.guestMemory.load(PT_LOW, new Uint8Array(low.buffer))
  write32(guest, PD + 4 * (APIC >>> 22), PT_APIC | 7)
  write32(guest, PT_APIC + 4 * ((APIC >>> 12) & 0x3ff), APIC | 7)
  write32(guest, PT_HIGH, BUFFER_GPA | 7)
  write32(guest, PT_HIGH + 4, OTHER_GPA | 7)
  guest.vector(14, PAGE_FAULT_HANDLER)
  guest.program(PAGE_FAULT_HANDLER, 32, (asm) => void leave(asm, 14))
  return guest
}

export function write32(guest: Guest, gpa: number, value: number): void {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  guest.domain.guestMemory.load(gpa, bytes)
}
