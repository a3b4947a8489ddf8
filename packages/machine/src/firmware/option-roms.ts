import type { X86Domain } from '@retrap/hvm'
import type { Vcpu } from '@retrap/x86-cpu'
import { MachineError } from '../errors.ts'
import { LoaderError, hex } from '../loaders/errors.ts'
import type { KernelRom } from '../loaders/index.ts'

/** An adapter's firmware, which extends a PC's BIOS. */
export interface OptionRom {
  /** Names the ROM in errors and, for firmware that loads it by itself, in fw_cfg. */
  readonly name: string
  /** The image, with its signature, size byte and checksum. */
  readonly bytes: Uint8Array
}

const KERNEL_ROMS: ReadonlySet<string> = new Set<KernelRom>(['linuxboot_dma.bin', 'multiboot_dma.bin', 'pvh.bin'])

/** Whether firmware starts a kernel by this ROM. */
export const isKernelRom = ({ name }: OptionRom): boolean => KERNEL_ROMS.has(name)

const BLOCK = 512
const FIRST = 0xc_0000
const END = 0xe_0000
/** Adapter ROMs begin at multiples of 2 KiB (BIOS Boot Specification 1.01, "Option ROM Scan"). */
const ALIGNMENT = 2048
const ENTRY = 3
/** Stack of the call, and its return address: a HLT in place of the boot sector. */
const STACK = 0x7c00
const RETURN = 0x7c00
const HLT = 0xf4
const SLICE = 100_000
/** More instructions than any initialisation takes: a ROM beyond this limit hangs. */
const LIMIT = 50_000_000
const DEVICE_DEADLINE_MS = 30_000

/**
 * The part of an image that is the ROM.
 *
 * @throws LoaderError `ERR_FORMAT`, `ERR_TRUNCATED` or `ERR_FIELD`
 *
 * Source: PCI Firmware Specification 3.0, "PCI Expansion ROM Header Format"; BIOS Boot Specification 1.01.
 */
export function checkOptionRom({ name, bytes }: OptionRom): Uint8Array {
  const field = (what: string): string => `${what} of option ROM ${name}`
  const [first = 0, second = 0, blocks = 0] = bytes
  if (first !== 0x55 || second !== 0xaa) {
    throw new LoaderError('ERR_FORMAT', field('signature'), (second << 8) | first, 'the bytes 55 AA')
  }
  if (blocks === 0) throw new LoaderError('ERR_FIELD', field('size'), 0, `its number of ${BLOCK}-byte blocks`)
  const size = blocks * BLOCK
  if (size > bytes.length) {
    throw new LoaderError('ERR_TRUNCATED', field('size'), `${size} bytes`, `at most the image's ${bytes.length}`)
  }
  const rom = bytes.subarray(0, size)
  const sum = rom.reduce((total, byte) => (total + byte) & 0xff, 0)
  if (sum !== 0) throw new LoaderError('ERR_FIELD', field('checksum'), sum, 'bytes whose sum is 0 modulo 256')
  return rom
}

/**
 * Initialises option ROMs as a BIOS does: each is copied to the next free 2 KiB boundary from 0xC0000 to 0xDFFFF, and its
 * entry called in real mode by the first processor. For machines without a BIOS; afterwards the processor is as the last
 * ROM has left it.
 *
 * @returns guest-physical addresses of the remaining ROMs, without ROMs that set their size to 0
 * @throws LoaderError for an invalid ROM, or for lack of room
 * @throws MachineError `ERR_OPTION_ROM` for a ROM that does not return
 */
export async function initialiseOptionRoms(domain: X86Domain, roms: readonly OptionRom[]): Promise<number[]> {
  const placed: number[] = []
  let next = FIRST
  for (const rom of roms) {
    const bytes = checkOptionRom(rom)
    if (next + bytes.length > END) {
      const room = `at most ${END - next} bytes from ${hex(next)} on`
      throw new LoaderError('ERR_NO_ROOM', `option ROM ${rom.name}`, `${bytes.length} bytes`, room)
    }
    domain.guestMemory.load(next, bytes)
    await callEntry(domain, rom.name, next)
    // After initialisation a ROM may keep a smaller part of itself.
    const header = new Uint8Array(3)
    domain.guestMemory.read(next, header)
    const left = header[2]! * BLOCK
    if (left === 0) continue
    placed.push(next)
    next = Math.ceil((next + left) / ALIGNMENT) * ALIGNMENT
  }
  return placed
}

/** A far call of a ROM's entry: no PCI function, no Plug and Play, interrupts off. */
async function callEntry(domain: X86Domain, name: string, gpa: number): Promise<void> {
  const vcpu = domain.vcpus[0]
  if (vcpu === undefined) return
  const { cpu } = vcpu
  domain.guestMemory.load(RETURN, Uint8Array.of(HLT))
  domain.guestMemory.load(STACK - 4, Uint8Array.of(RETURN & 0xff, RETURN >> 8, 0, 0))
  const data = { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 }
  cpu.reset(true)
  cpu.load({
    registers: { rip: ENTRY, rsp: STACK - 4, rflags: 2, rbx: 0xffff, rdx: 0xffff },
    segments: {
      cs: { selector: gpa >>> 4, base: gpa, limit: 0xffff, attributes: 0x9b },
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: data,
      tr: { selector: 0, base: 0, limit: 0xffff, attributes: 0x8b },
      ldtr: { selector: 0, base: 0, limit: 0xffff, attributes: 0x82 },
    },
    gdtr: { base: 0, limit: 0xffff },
    idtr: { base: 0, limit: 0x3ff },
    cr0: 0x10,
    cr3: 0,
    cr4: 0,
    efer: 0,
  })
  const before = cpu.retired
  while (cpu.retired - before < LIMIT) {
    const exit = domain.runVcpu(vcpu, SLICE)
    if (exit.reason === 'blocked') await domain.settle(DEVICE_DEADLINE_MS)
    else if (exit.reason === 'hlt' && hasReturned(cpu)) return
    else if (exit.reason !== 'budget' && exit.reason !== 'yield' && exit.reason !== 'pause') {
      const cause = exit.reason === 'error' ? { cause: exit.error } : {}
      throw new MachineError('ERR_OPTION_ROM', `the entry of option ROM ${name} ended with: ${exit.reason}`, cause)
    }
  }
  throw new MachineError('ERR_OPTION_ROM', `the entry of option ROM ${name} has not returned`)
}

/** Whether the vCPU has executed the HLT at `RETURN`. */
function hasReturned({ registers }: Vcpu): boolean {
  return registers.eip === RETURN + 1
}
