import type { X86Domain } from '@retrap/hvm'
import { P2mType } from '@retrap/p2m'
import { buildAcpiTables, type AcpiBoard } from '../acpi/index.ts'
import { realModeState, type InitialState } from '../loaders/index.ts'

// The work of a BIOS that a machine without firmware does, beside loading a kernel.

/** Firmware_Waking_Vector of the FACS. */
const FACS_WAKING_VECTOR = 12
const REAL_MODE_END = 0x10_0000
/** The page where a processor starts after INIT. */
export const RESET_GFN = 0xf_ffff

type PortWrite = readonly [port: number, value: number]

const MASTER = 0x20
const SLAVE = 0xa0
const COUNTER_0 = 0x40
const COUNTER_CONTROL = 0x43

/** The master's mask that a BIOS leaves: timer, keyboard and cascade are open, for which there are handlers; */
const BIOS_MASK = 0xf8
/** after sleep, when firmware starts no timer and the OS restores its own: the cascade; */
const WAKING_MASK = 0xfb
/** and of a guest that Xen starts without firmware (PVH), which has no interrupt controllers of this kind. */
const XEN_MASK = 0xff
/** Top of the stack at the waking vector, in segment 0, as SeaBIOS leaves it. */
const WAKING_STACK = 0xf70

/**
 * The interrupt controllers and the timer as a BIOS's self-test leaves them, but for the master's mask. Vectors are 08h to 0Fh
 * and 70h to 77h. Counter 0 ticks 18.2 times a second.
 *
 * Source: IBM PC/AT Technical Reference, "System BIOS", interrupt vectors; Intel 8259A data sheet, ICW1 to ICW4.
 */
const SELF_TEST: readonly PortWrite[] = [
  [MASTER, 0x11],
  [MASTER + 1, 0x08],
  [MASTER + 1, 0x04],
  [MASTER + 1, 0x01],
  [SLAVE, 0x11],
  [SLAVE + 1, 0x70],
  [SLAVE + 1, 0x02],
  [SLAVE + 1, 0x01],
  [SLAVE + 1, 0xff],
  [COUNTER_CONTROL, 0x36],
  [COUNTER_0, 0],
  [COUNTER_0, 0],
]

/** 115200 baud, eight bits: kernels that only print keep firmware's settings of their console. */
const LINE_SETTINGS = [
  [3, 0x83],
  [0, 1],
  [1, 0],
  [3, 0x03],
] as const

/** Sets devices to firmware's state before the start of an OS. @param xen - Xen starts it instead */
export async function setDevices(domain: X86Domain, board: AcpiBoard, xen: boolean): Promise<void> {
  await writePorts(domain, board, xen ? XEN_MASK : BIOS_MASK)
}

async function writePorts(domain: X86Domain, board: AcpiBoard, mask: number): Promise<void> {
  const lines = board.serialPorts.flatMap(({ iobase }) =>
    LINE_SETTINGS.map(([register, value]): PortWrite => [iobase + register, value]),
  )
  for (const [port, value] of [...SELF_TEST, [MASTER + 1, mask] as const, ...lines])
    await domain.writePort(port, 1, value)
}

/**
 * Performs firmware's work when a machine wakes from S3, up to the jump to the OS.
 *
 * @returns the first processor's registers at the jump; null: the OS has left no address
 *
 * Source: ACPI Specification 6.5, 5.2.10, "Firmware ACPI Control Structure", and 16.3.2, "BIOS Initialization of Memory".
 */
export async function resumeDirectly(domain: X86Domain, board: AcpiBoard): Promise<InitialState | null> {
  await writePorts(domain, board, WAKING_MASK)
  domain.vcpus[0]?.apic.enterVirtualWireMode()
  const facs = buildAcpiTables(board).addresses['FACS'] ?? 0
  const vector = new Uint32Array(1)
  domain.guestMemory.read(facs + FACS_WAKING_VECTOR, new Uint8Array(vector.buffer))
  const gpa = vector[0]!
  if (gpa === 0 || gpa >= REAL_MODE_END) return null
  const state = realModeState(0, gpa & ~15, WAKING_STACK)
  return { ...state, registers: { ...state.registers, rip: gpa & 15 } }
}

/**
 * Maps the page where a processor starts after INIT, as ROM that ends at 4 GiB. To be called before there are device
 * servers, which a change of the map would notify.
 */
export function mapResetVector({ memory, frameCounts, p2m }: X86Domain): void {
  const mfn = memory.frames.allocate(0)
  frameCounts.adopt(mfn, 1)
  p2m.insert(RESET_GFN, mfn, 0, P2mType.RAM_RO)
  // The map keeps its own reference.
  frameCounts.drop(mfn, 1)
}
