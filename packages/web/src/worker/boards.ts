import { createPc, Pc, type PcOptions, type PcSnapshotSource, preparePc, type ReplayDebugger } from '@retrap/machine'
import type { ArmMachine, ArmMachineOptions, ArmSnapshotSource } from '@retrap/machine/arm'
import type { ArmBoardView, PcView } from '../inspection.ts'
import type { SentOptions } from '../protocol.ts'
import type * as ArmBoards from './arm-board.ts'
import { compileHelper } from './compile-helper.ts'
import type { CompiledCodes } from './compiled-code.ts'
import type { GuestInput } from './guest-input.ts'
import type { MachineDrives } from './machine-drives.ts'
import type { MachineNetwork } from './networks.ts'
import type { SharedFiles } from './shared-files.ts'
import type { MachineSound } from './sound.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import type { LoadedImages } from './whole-images.ts'

/** RAM of a machine of which nothing is said. */
export const DEFAULT_MEMORY_BYTES: number = 128 << 20

export type BoardMachine = Pc | ArmMachine
export type BoardOptions = PcOptions | ArmMachineOptions
/** A debugger that goes through its run. */
export type TravellingDebugger = ReplayDebugger<BoardMachine>

const loadArm = async (): Promise<typeof ArmBoards> => import('./arm-board.ts')

/** The parts of a machine, beside its options. */
export interface BoardParts extends Pick<PcOptions, 'screen' | 'onDeviceFailure' | 'onSleep'> {
  /** Options of the opened recording's machine; null: not from a recording. */
  readonly recorded: PcOptions | null
  readonly images: LoadedImages
  readonly drives: MachineDrives
  readonly network: MachineNetwork | null
  readonly input: GuestInput
  readonly sound: MachineSound
  readonly files: SharedFiles | null
  readonly onCode: CompiledCodes['onCode']
  /** Called with the reason why several vCPUs take turns. */
  readonly onTurns: (why: string) => void
}

/** Generates the parts that machines of a kind share. @param isWanted - asked before it begins, after the board was loaded */
export async function prepareBoard(
  { board, jit }: Pick<SentOptions, 'board' | 'jit'>,
  isWanted: () => boolean = () => true,
): Promise<void> {
  if (board !== 'virt') return preparePc({ jit: jit !== false })
  const { prepare } = await loadArm()
  if (isWanted()) prepare(jit !== false)
}

/**
 * Makes a PC, or an Arm board.
 *
 * @param snapshot - the snapshot to resume
 * @param recorded - makes a recorded machine; default not recorded
 * @throws MachineError; LoaderError
 */
export async function createBoard(
  options: SentOptions,
  parts: BoardParts,
  snapshot: ReadSnapshot | null,
  recorded?: (options: BoardOptions) => Promise<BoardMachine>,
): Promise<BoardMachine> {
  const given = boardOptions(options, parts)
  // A run that can be made again compiles in its own thread.
  const helper = recorded === undefined ? compileHelper() : undefined
  const jit = typeof given.jit === 'object' && helper !== undefined ? { ...given.jit, helper } : given.jit
  const all = { ...given, jit, ...snapshot?.onClock(recorded !== undefined) } as PcOptions
  // A machine that is recorded from an instant on takes turns from there on.
  const isRecordedLater = recorded !== undefined && options.record !== true && parts.recorded === null
  if (!isRecordedLater && (options.smp === 'threads' || (options.smp === undefined && (given.cpus ?? 1) > 1))) {
    const { vcpusOf } = await import('./vcpus.ts')
    const { turns, ...smp } = await vcpusOf(options, given, recorded !== undefined)
    if (turns !== undefined) parts.onTurns(turns)
    Object.assign(all, smp)
  }
  if (options.board !== 'virt') return (recorded ?? createPc)(all)
  return (await loadArm()).createArmBoard(all, recorded)
}

/** Restores a machine in its own memory. @param atRest - called before it resumes @throws MachineError */
export const putBackBoard = (machine: BoardMachine, snapshot: ReadSnapshot, atRest: () => void): Promise<void> =>
  machine.restore(snapshot.onClock(false).snapshot as PcSnapshotSource & ArmSnapshotSource, { atRest })

/** Whether vCPUs of a machine are in threads of their own now. */
export const areVcpusAway = (machine: BoardMachine): boolean =>
  machine instanceof Pc && machine.domain.architecture.threads?.areRunning === true

/** Inspects a machine without changing it. The inspector is loaded on demand. */
export async function inspectBoard(
  machine: BoardMachine,
): Promise<Omit<PcView, 'requests' | 'devices'> | Omit<ArmBoardView, 'requests' | 'devices'>> {
  if (!(machine instanceof Pc)) return (await loadArm()).inspectArmBoard(machine)
  const { inspectDomain } = await import('./inspect.ts')
  return inspectDomain(machine.domain)
}

export function boardOptions(options: SentOptions, parts: BoardParts): PcOptions {
  const {
    memoryBytes = DEFAULT_MEMORY_BYTES,
    board,
    tablet,
    cpus,
    cpu,
    commandLine,
    vga,
    hypervisor,
    sound,
    jit,
  } = options
  const { images, drives, network, input, screen, onCode, onDeviceFailure, onSleep } = parts
  const ofPage = {
    jit: jit !== false && { onCode },
    ...{ screen, keyboard: input.keyboard, mouse: input.mouse, speaker: parts.sound.speaker },
    ...{ onDeviceFailure, onSleep },
  }
  if (parts.recorded !== null) return { ...parts.recorded, ...ofPage }
  const { virtio = [], ...plugged } = network?.pcOptions() ?? {}
  const virtioDevices = parts.files === null ? virtio : [...virtio, parts.files.device]
  return {
    ...images,
    memoryBytes,
    ...(board !== 'virt' && { machine: board }),
    ...{ cpus, cpu, commandLine, vga, hypervisor },
    // A page shows the screen beside the terminal: firmware need not mirror it on the serial port.
    boot: { mirrorsScreen: false },
    generation: {},
    ...(drives.options !== null && { drives: drives.options }),
    ...plugged,
    ...(virtioDevices.length > 0 && { virtio: virtioDevices }),
    ...(tablet === true && { usb: { devices: [{ kind: 'tablet' }] } }),
    ...(sound === true && { sound: [{ model: 'ac97', audio: parts.sound.card }] }),
    ...ofPage,
  }
}
