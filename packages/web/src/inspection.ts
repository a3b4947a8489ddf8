import type { FrameUser, InvalidationAccount } from '@retrap/hvm'
import type { DescribedAbort } from '@retrap/hvm/arm'
import type { ArmExplanation, Explanation } from '@retrap/paging'
import type { AccessAccount, InstructionAccount } from '@retrap/replay'

/** The instruction of a vCPU that waits for a device. */
export interface WaitView extends Omit<InstructionAccount, 'accesses'> {
  /** The device that the vCPU's instruction waits for; null: none. */
  readonly waitsFor: { readonly server: string; readonly device: string; readonly request: string } | null
  /** Accesses of the present instruction so far, of which the last may be pending. A resumed instruction replays them. */
  readonly log: readonly AccessAccount[]
}

/** A vCPU between two of its instructions, or in the middle of one that waits for a device. */
export interface VcpuView extends WaitView {
  /** Width of the vCPU's code. */
  readonly mode: 16 | 32 | 64
  /** Linear address of the next instruction. */
  readonly address: bigint
  /** Code at that address, as far as mapped; up to 64 bytes. */
  readonly bytes: Uint8Array
  /** The vCPU waits for an interrupt, and executes nothing. */
  readonly idle: boolean
  /** Activity. */
  readonly activity: 'executes' | 'halted' | 'waits for start-up' | 'waits for a device'
  /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15. */
  readonly registers: readonly bigint[]
  /** RIP: of the next instruction, counted from the base of CS. */
  readonly ip: bigint
  /** RFLAGS; bits 63:32 are reserved. */
  readonly flags: number
  /** Control registers, and IA32_EFER. */
  readonly control: Readonly<Record<'cr0' | 'cr2' | 'cr3' | 'cr4' | 'efer', bigint>>
  /** ES, CS, SS, DS, FS and GS. */
  readonly segments: readonly SegmentView[]
}

/** A segment register. */
export interface SegmentView {
  /** Name of the register, such as `CS`. */
  readonly name: string
  readonly selector: number
  /** Linear address of the segment's beginning. */
  readonly base: bigint
}

/** A request to a disk that has not been answered yet. */
export interface RequestView {
  /** Name of the drive. */
  readonly drive: string
  /** Offset of the read, in bytes. */
  readonly offset: number
  /** Length of the read, in bytes. */
  readonly bytes: number
  /** Duration of the request so far, in milliseconds. */
  readonly ms: number
}

/** A device model, and its impairment. */
export interface DeviceView {
  /** Name, for `machine.impairDevice`. */
  readonly name: string
  /** Delay of each access, in milliseconds. */
  readonly delayMs: number
  /** Reads return ones, and writes are dropped. */
  readonly dead: boolean
  /** Time for which the pending accesses have waited, in milliseconds. */
  readonly waitingMs: readonly number[]
}

/** A local APIC. Vectors are numbers from 0 to 255. */
export interface LocalApicView {
  /** Task-priority register. */
  readonly taskPriority: number
  /** Requested vectors that wait for delivery. */
  readonly requested: readonly number[]
  /** Vectors whose handlers run. */
  readonly inService: readonly number[]
  /** Vector of the APIC's timer; null: masked. */
  readonly timerVector: number | null
}

/** An input of the I/O APIC that is not masked, or is asserted. */
export interface IoApicInputView {
  /** Number. */
  readonly input: number
  /** Vector of the pin's entry. */
  readonly vector: number
  /** Whether the entry is masked. */
  readonly masked: boolean
  /** Trigger mode of the pin. */
  readonly trigger: 'edge' | 'level'
  /** Whether the pin is asserted. */
  readonly asserted: boolean
}

/** One of the two i8259s. Bit 0 of each mask is its first input. */
export interface PicView {
  /** Vector of the chip's first input. */
  readonly firstVector: number
  /** Masked inputs. */
  readonly mask: number
  /** Asserted inputs. */
  readonly lines: number
  /** Inputs whose handlers run. */
  readonly inService: number
}

/** The interrupt controllers. */
export interface InterruptView {
  /** Local APICs by vCPU. */
  readonly localApics: readonly LocalApicView[]
  /** Inputs of the I/O APIC that are not masked, or asserted. */
  readonly ioApic: readonly IoApicInputView[]
  /** The first i8259 and the second. */
  readonly pics: readonly PicView[]
}

/** The map of guest memory. */
export interface MapView {
  /** Bytes by type of frame, with the names of Xen: `ram_rw`, `ram_ro`, `mmio_dm` and so on. */
  readonly bytesByType: Readonly<Record<string, number>>
  /** Entries by size of page. */
  readonly leaves: Readonly<Record<'4K' | '2M' | '1G', number>>
  /** Bytes of the map's tables. */
  readonly tableBytes: number
}

/** The state of a PC at this moment. */
export interface PcView {
  /** Tells the boards apart. */
  readonly architecture: 'x86'
  /** Instructions that were executed since power-on. */
  readonly instructions: number
  /** All vCPUs, by number. */
  readonly vcpus: readonly VcpuView[]
  /** Requests that disks have not answered yet, the oldest first. */
  readonly requests: readonly RequestView[]
  /** Device models, in the order of the board. */
  readonly devices: readonly DeviceView[]
  /** Interrupt controllers. */
  readonly interrupts: InterruptView
  /** Map of guest memory. */
  readonly map: MapView
  /** Changes of the map that device servers have to acknowledge. */
  readonly invalidations: InvalidationAccount
}

/** A vCPU of an Arm board, between two of its instructions, or in the middle of one that waits for a device. */
export interface ArmVcpuView extends WaitView {
  /** Instruction set. */
  readonly mode: 'a64' | 'a32' | 't32'
  /** Virtual address of the next instruction. */
  readonly address: bigint
  /** Code at that address, as far as mapped; up to 64 bytes. */
  readonly bytes: Uint8Array
  /** The vCPU waits for an interrupt or an event, or is off, and executes nothing. */
  readonly idle: boolean
  /** Activity. `off`: PSCI has not started it, or has stopped it. */
  readonly activity: 'executes' | 'halted' | 'off' | 'waits for a device'
  /** X0 to X30. */
  readonly registers: readonly bigint[]
  /** The stack pointer in use. */
  readonly sp: bigint
  /** PSTATE, where SPSR_EL1 has its fields: N, Z, C and V in bits 31 to 28, the exception level in bits 3 and 2. */
  readonly pstate: number
  /** System registers by their names in the manual, in capitals. */
  readonly system: Readonly<Record<string, bigint>>
  /** The abort of the instruction that waits for a device, with the fields of its syndrome; null: none waits. */
  readonly abort: DescribedAbort | null
  /** Next interrupt, by INTID; null: there is none. */
  readonly pendingInterrupt: number | null
}

/** The state of an Arm board at this moment. */
export interface ArmBoardView extends Pick<PcView, 'instructions' | 'requests' | 'devices' | 'map' | 'invalidations'> {
  /** Tells the boards apart. */
  readonly architecture: 'arm'
  /** All vCPUs, by number. */
  readonly vcpus: readonly ArmVcpuView[]
}

/** The state of a machine at this moment. */
export type MachineView = PcView | ArmBoardView

/** A page of the guest's map. */
export interface FrameView {
  /** Type of the frame, with the names of Xen: `ram_rw`. */
  readonly type: string
  /** Size of the entry that maps it, in bytes. */
  readonly leafBytes: number
  /** The guest's rights to it, such as `read write execute`; empty: none. */
  readonly rights: string
  /** Machine address of the byte that was asked about; null: there is no memory behind it. */
  readonly machineAddress: number | null
  /** Device models of the machine's Worker that remember the page, or hold mappings of it. */
  readonly users: readonly FrameUser[]
}

/** The way of a linear address to memory. */
export interface AddressView {
  /**
   * Each entry of the page walk; of a PC the entries of the vCPU's paging-structure cache, too. Null for an address of a PC that is not
   * canonical.
   */
  readonly walk: Explanation | ArmExplanation | null
  /** Guest-physical address; null: it is not mapped. */
  readonly gpa: number | null
  /** The page of the guest's map; null: the address is not mapped. */
  readonly frame: FrameView | null
}

/** Guest code that was compiled. */
export interface CompiledView {
  /** Counts from 0 since power-on. */
  readonly number: number
  /** Width of the guest's code. */
  readonly mode: 16 | 32 | 64
  /** The guest's instructions, in the order of their addresses. */
  readonly instructions: readonly { readonly address: bigint; readonly bytes: Uint8Array }[]
  /** The WebAssembly module: `moduleText` of `@retrap/wasm-emitter` prints it. */
  readonly module: Uint8Array
}

/** The impairment of a device model. */
export interface Impairment {
  /** Delay of each access: 0 to 60,000 ms; default 0. The vCPU waits, and nothing else does. */
  readonly delayMs?: number
  /** Reads return ones, and writes are dropped. Default false. */
  readonly dead?: boolean
}
