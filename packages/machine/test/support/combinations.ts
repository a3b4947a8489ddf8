import { type CombinationRule, refusalOf } from '../../src/refusals/refusals.ts'
import type { DeviceTrait, MachineBoard, MachineRun, MachineTrait, MachineVerb } from '../../src/refusals/refusals.ts'
import { noteRecordedModels } from '../../src/refusals/traits.ts'

/** The traits of each place of models: of the board's, or the caller's in a Worker, in a process, on another host; or of vCPUs. */
const PLACEMENTS = {
  inline: ['inline'],
  deferred: ['deferred'],
  worker: ['worker'],
  controllers: ['inline', 'controllers'],
  'model-worker': ['inline', 'server', 'shared'],
  process: ['inline', 'server'],
  remote: ['inline', 'server'],
  threads: ['inline', 'threads'],
} as const satisfies Readonly<Record<string, readonly MachineTrait[]>>
type ModelPlacement = keyof typeof PLACEMENTS

const EVERY: readonly MachineBoard[] = ['pc', 'q35', 'virt']
const WITH_PORTS: readonly MachineBoard[] = ['q35', 'virt']
const OF_PC: readonly MachineBoard[] = ['pc', 'q35']

export interface CombinedDeviceRow {
  /** Boards whose options have a name for it. */
  readonly boards: readonly MachineBoard[]
  /** The traits of a machine that has it. */
  readonly traits: readonly DeviceTrait[]
}

type Boards = readonly MachineBoard[]
const row = (boards: Boards, ...traits: readonly DeviceTrait[]): CombinedDeviceRow => ({ boards, traits })

/** The name of a device of the table. */
export type CombinedDevice =
  | ('board' | DeviceTrait)
  | ('usb-device, usb-input' | 'usb-device behind a port' | 'net behind a port' | 'share behind a port')

/** The devices of the table, by name. `board` is a machine with its board's own alone. */
export const COMBINED_DEVICES: Readonly<Record<CombinedDevice, CombinedDeviceRow>> = {
  board: row(EVERY),
  ide: row(['pc'], 'ide'),
  sata: row(WITH_PORTS, 'sata'),
  floppy: row(EVERY, 'floppy'),
  'virtio-disk': row(EVERY, 'virtio-disk'),
  nvme: row(EVERY, 'nvme'),
  scsi: row(EVERY, 'scsi'),
  'scsi-controller': row(EVERY, 'scsi-controller'),
  'usb-disk': row(EVERY, 'usb-disk'),
  'usb-input': row(EVERY, 'usb-input'),
  'usb-device': row(EVERY, 'usb-device'),
  'usb-device, usb-input': row(EVERY, 'usb-device', 'usb-input'),
  'usb-device behind a port': row(WITH_PORTS, 'usb-device', 'root-port'),
  rng: row(EVERY, 'rng'),
  console: row(EVERY, 'console'),
  net: row(EVERY, 'net'),
  'net behind a port': row(EVERY, 'net', 'root-port'),
  'virtio-input': row(EVERY, 'virtio-input'),
  share: row(EVERY, 'share'),
  'share behind a port': row(WITH_PORTS, 'share', 'root-port'),
  vsock: row(EVERY, 'vsock'),
  'virtio-device': row(EVERY, 'virtio-device'),
  'virtio-mmio': row(['virt'], 'virtio-mmio'),
  e1000: row(EVERY, 'e1000'),
  ac97: row(EVERY, 'ac97'),
  vga: row(EVERY, 'vga'),
  ramfb: row(EVERY, 'ramfb'),
  flash: row(EVERY, 'flash'),
  'root-port': row(EVERY, 'root-port'),
  generation: row(OF_PC, 'generation'),
  model: row(EVERY, 'model'),
  'deterministic-model': row(EVERY, 'deterministic-model'),
}

const NAMES = Object.keys(COMBINED_DEVICES) as CombinedDevice[]

/** Devices that options of `plug` can name. */
export const PLUGGED: readonly CombinedDevice[] = [
  ...(['ide', 'sata', 'floppy', 'virtio-disk', 'nvme', 'scsi', 'usb-disk', 'usb-input', 'usb-device'] as const),
  ...(['rng', 'console', 'net', 'virtio-input', 'share', 'vsock', 'virtio-device', 'e1000', 'ac97'] as const),
  ...(['scsi-controller', 'model', 'deterministic-model'] as const),
]

const VERBS: readonly MachineVerb[] = ['save', 'restore', 'checkpoint', 'fork', 'reverse', 'migrate', 'plug', 'gdb']
/** Verbs that make a machine, and the run that it then has. */
const MAKING: Partial<Readonly<Record<MachineVerb, MachineRun>>> = {
  make: 'plain',
  record: 'recorded',
  'record-on': 'recorded',
  replay: 'replayed',
}

export interface CombinedMachine {
  readonly board: MachineBoard
  /** The guest sees Xen's interface. */
  readonly xen: boolean
  /** A PC has system-management mode. */
  readonly smm: boolean
  /** Where its device models are. */
  readonly placement: ModelPlacement
  readonly device: CombinedDevice
  /** The source of time: the host, or instructions. */
  readonly clock: 'real' | 'deterministic'
}

/** An operation of a machine, and the reason where it is refused. */
export interface CombinationCell extends CombinedMachine {
  /** The operation. */
  readonly verb: MachineVerb
  /** The machine's run; with a verb that makes one, the run that it gets. */
  readonly run: MachineRun
  /** With the verb `plug`: the device that is plugged into a free root port. */
  readonly plugged?: CombinedDevice
  /** A sentence; absent: it is supported. */
  readonly refused?: string
}

/** The machines of the table, in a fixed order. Some of them cannot be made: see {@link combinationOf}. */
export function* combinedMachines(): Generator<CombinedMachine> {
  for (const board of EVERY)
    for (const xen of [false, true])
      for (const smm of board === 'virt' ? [false] : [false, true])
        for (const placement of Object.keys(PLACEMENTS) as ModelPlacement[])
          for (const device of NAMES.filter((name) => COMBINED_DEVICES[name].boards.includes(board)))
            for (const clock of ['real', 'deterministic'] as const) yield { board, xen, smm, placement, device, clock }
}

/** All combinations, in a fixed order; into each machine one device is plugged. */
export function* combinations(): Generator<CombinationCell> {
  let at = 0
  for (const machine of combinedMachines()) {
    for (const [verb, run] of Object.entries(MAKING)) yield combinationOf(machine, verb as MachineVerb, run)
    for (const run of ['plain', 'recorded', 'replayed'] as const) {
      if (run !== 'plain' && machine.clock === 'real') continue
      for (const verb of VERBS)
        yield combinationOf(machine, verb, run, verb === 'plug' ? PLUGGED[at++ % PLUGGED.length] : undefined)
    }
  }
}

/** The cell of a machine, a verb and a run. A machine that cannot be made, recorded or replayed refuses everything. */
export function combinationOf(
  machine: CombinedMachine,
  verb: MachineVerb,
  run: MachineRun,
  plugged?: CombinedDevice,
): CombinationCell {
  const traits = traitsOfCell({ ...machine, run })
  const makes = MAKING[verb] !== undefined
  const recorded = run === 'plain' ? undefined : refusalOf(makes ? verb : RUNS[run], traits)
  const made = recorded ?? refusalOf('make', traits)
  const refused = made ?? (makes ? undefined : refusalOf(verb, traits, plugged && pluggedTraits(plugged)))
  return { ...machine, verb, run, ...(plugged && { plugged }), ...(refused !== undefined && { refused }) }
}

const RUNS = { recorded: 'record', replayed: 'replay' } as const

const pluggedTraits = (device: CombinedDevice): ReadonlySet<DeviceTrait> => new Set(COMBINED_DEVICES[device].traits)

function traitsOfCell({ board, xen, smm, placement, device, clock, run }: CombinedMachine & { run: MachineRun }) {
  const traits = new Set<MachineTrait>([
    board,
    clock,
    run,
    ...PLACEMENTS[placement],
    ...COMBINED_DEVICES[device].traits,
  ])
  if (xen) traits.add('xen')
  if (smm) traits.add('smm')
  noteRecordedModels(traits)
  return traits
}

/**
 * The cells that miss exactly one condition of a rule: a list of a machine's traits, or the traits of what is plugged in. Those
 * are then the machine's: a rule about a device that is plugged in says nothing about the machine's own.
 *
 * @returns the cells of each list that is missed, and of each trait of what is plugged in
 */
export function nearMisses({ verbs, when, plugged = [] }: CombinationRule, cells: readonly CombinationCell[]) {
  const missed: CombinationCell[][] = [...when, ...plugged].map(() => [])
  for (const cell of cells) {
    if (!verbs.includes(cell.verb)) continue
    const traits = traitsOfCell(cell)
    const device = cell.plugged && pluggedTraits(cell.plugged)
    const misses = when.flatMap((some, list) => (some.some((trait) => traits.has(trait)) ? [] : [list]))
    if (plugged.length === 0 || plugged.some((trait) => device?.has(trait))) {
      if (misses.length === 1) missed[misses[0]!]!.push(cell)
    } else if (misses.length === 0) {
      plugged.forEach((trait, i) => traits.has(trait) && missed[when.length + i]!.push(cell))
    }
  }
  return missed.filter(({ length }) => length > 0)
}
