/**
 * The table of refused combinations: traits of a machine, and the operations that these traits exclude. Every entry point
 * of a machine and of the command line consults the table; `--help` and the documentation print it.
 */
import { MachineError, type MachineErrorCode } from '../errors.ts'

/** The boards. */
export type MachineBoard = 'pc' | 'q35' | 'virt'

/** An operation of a machine. `record-on` records from a snapshot or a fork on, `reverse` goes backwards in a debugger. */
export type MachineVerb =
  | ('make' | 'save' | 'restore' | 'checkpoint' | 'fork' | 'migrate' | 'plug')
  | ('record' | 'record-on' | 'replay' | 'reverse' | 'gdb')

/** Whether the run is a plain one, is recorded, or is a recorded one that runs again. */
export type MachineRun = 'plain' | 'recorded' | 'replayed'

/** Devices beside the board's own. `model` is one of the caller's. */
export type DeviceTrait =
  | ('ide' | 'sata' | 'floppy' | 'virtio-disk' | 'nvme' | 'scsi' | 'scsi-controller')
  | ('usb-disk' | 'usb-input' | 'usb-device' | 'rng' | 'console' | 'net' | 'virtio-input' | 'share' | 'vsock')
  | ('virtio-device' | 'virtio-mmio' | 'e1000' | 'ac97' | 'vga' | 'ramfb' | 'flash' | 'root-port' | 'generation')
  | ('model' | 'deterministic-model')

/**
 * A property of a machine that rules look at. Where models are: `inline`, `deferred` or `worker` of the board's, `controllers` in a
 * Worker, `server` for models of the caller's elsewhere, which may write the guest's memory where that is `shared`. `threads`:
 * vCPUs have threads of their own. `recorded-models` are models whose actions are in a recording.
 */
export type MachineTrait =
  | (MachineBoard | MachineRun | DeviceTrait | 'xen' | 'smm' | 'real' | 'deterministic')
  | ('inline' | 'deferred' | 'worker' | 'controllers' | 'server' | 'shared' | 'recorded-models' | 'threads')

/** A refusal. */
export interface CombinationRule {
  /** The operations that are refused. */
  readonly verbs: readonly MachineVerb[]
  /** The machine has one trait of each list. */
  readonly when: readonly (readonly MachineTrait[])[]
  /** Traits of the plugged device, of which one applies; `when` lists traits of the machine. */
  readonly plugged?: readonly DeviceTrait[]
  /** The reason, and a remedy. */
  readonly why: string
}

const RECORDING: readonly MachineVerb[] = ['record', 'record-on', 'replay']
const GATED: readonly MachineTrait[] = ['recorded', 'replayed']

/** The refusals. The first that holds is reported. */
export const REFUSALS: readonly CombinationRule[] = [
  {
    verbs: ['make'],
    when: [['smm'], ['deferred', 'worker']],
    why: "smm true: expected devicePlacement 'inline', as an SMI comes with its instruction; leave one of them out",
  },
  {
    verbs: ['make'],
    when: [['threads'], ['deterministic', 'xen', 'virt']],
    why: 'smp: vCPUs in threads are for a PC in real time without Xen; let them take turns',
  },
  {
    verbs: ['make'],
    when: [['floppy'], ['virt']],
    why: 'drives: an Arm board has no floppy drives: expected another interface',
  },
  { verbs: RECORDING, when: [['real']], why: "clock: expected 'deterministic'" },
  {
    verbs: ['fork'],
    when: [['threads']],
    why: 'its vCPUs have threads of their own; fork a machine whose vCPUs take turns',
  },
  { verbs: ['reverse'], when: [['plain']], why: 'its run is not recorded; record it first' },
  {
    verbs: ['gdb', 'reverse'],
    when: [['recorded'], ['deterministic-model']],
    why: 'deterministic models of the caller cannot be in two machines; end the recording, then debug its replay',
  },
  {
    verbs: ['restore', 'checkpoint', 'migrate'],
    when: [GATED],
    why: 'its run is recorded or replayed, and the recording would not be of one run',
  },
  {
    verbs: ['fork'],
    when: [
      ['recorded', 'replayed'],
      ['shared', 'controllers', 'worker', 'server', 'replayed'],
    ],
    why: 'models elsewhere, controllers and replayed disks cannot be doubled; fork a machine that is not recorded',
  },
  {
    verbs: ['plug'],
    when: [],
    plugged: ['ide', 'sata', 'floppy', 'scsi', 'usb-disk'],
    why: "a drive behind a root port has interface 'virtio' or 'nvme'",
  },
  {
    verbs: ['plug'],
    when: [['recorded']],
    plugged: ['model', 'deterministic-model', 'share', 'vsock', 'virtio-device', 'usb-device'],
    why: 'models that only their program makes are in a recording from its beginning on; give it as an option',
  },
]

/** The first words of a verb's refusal, and its error code. */
const HEADS: Readonly<Record<MachineVerb, readonly [MachineErrorCode, string]>> = {
  make: ['ERR_OPTION', ''],
  save: ['ERR_SNAPSHOT', 'this machine cannot be saved: '],
  restore: ['ERR_SNAPSHOT', 'this machine cannot go back: '],
  checkpoint: ['ERR_SNAPSHOT', 'this machine cannot have a checkpoint: '],
  fork: ['ERR_FORK', 'this machine cannot be forked: '],
  record: ['ERR_OPTION', 'a run with this cannot be recorded: '],
  'record-on': ['ERR_OPTION', 'a run with this cannot be recorded: '],
  replay: ['ERR_OPTION', 'a run with this cannot be replayed: '],
  reverse: ['ERR_OPTION', 'this machine cannot go back in a debugger: '],
  migrate: ['ERR_OPTION', 'this machine cannot be moved: '],
  plug: ['ERR_OPTION', 'devices cannot be plugged in or out: '],
  gdb: ['ERR_OPTION', 'this machine cannot be debugged: '],
}

const NOTHING: ReadonlySet<MachineTrait> = new Set()

/**
 * Returns why an operation is refused for these traits, as a sentence; undefined: it is supported.
 *
 * @param plugged - with the verb `plug`: the traits of the device that is plugged in
 */
export function refusalOf(
  verb: MachineVerb,
  traits: ReadonlySet<MachineTrait>,
  plugged: ReadonlySet<MachineTrait> = NOTHING,
): string | undefined {
  const rule = REFUSALS.find(
    (one) =>
      one.verbs.includes(verb) &&
      one.when.every((some) => some.some((trait) => traits.has(trait))) &&
      (one.plugged?.some((trait) => plugged.has(trait)) ?? true),
  )
  return rule && HEADS[verb][1] + rule.why
}

/** Throws for the first refusal of {@link refusalOf}. @throws MachineError `ERR_OPTION`, `ERR_SNAPSHOT` or `ERR_FORK` */
export function requireSupported(
  verb: MachineVerb,
  traits: ReadonlySet<MachineTrait>,
  plugged: ReadonlySet<MachineTrait> = NOTHING,
): void {
  const refusal = refusalOf(verb, traits, plugged)
  if (refusal !== undefined) throw new MachineError(HEADS[verb][0], refusal)
}
