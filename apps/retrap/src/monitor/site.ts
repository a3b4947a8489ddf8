import type { BackEnds } from '../devices/back-ends.ts'
import { CliError } from '../cli-error.ts'
import type { Machine } from '../machine/machine-contract.ts'
import type { SessionRecording } from '../recording/session-recording.ts'
import type { SessionSnapshots } from '../snapshots/session-snapshots.ts'
import type { SessionMigration } from '../migration/session-migration.ts'
import type { HotDevices } from './hot-devices.ts'

type MonitorMachine = Machine

/** What commands work with: the machine that runs, and what it is connected to. */
export interface MonitorSite {
  /** Undefined: no machine runs. */
  readonly machine: MonitorMachine | undefined
  readonly backEnds: Pick<BackEnds, 'images' | 'networks' | 'uses'>
  readonly devices: HotDevices
  readonly snapshots: Pick<SessionSnapshots, 'changed' | 'save' | 'saveNow'>
  readonly recording: Pick<SessionRecording, 'goto' | 'mark' | 'marks' | 'when'>
  readonly migration: Pick<SessionMigration, 'decide' | 'migrate'>
  /** Says something before the command has ended, in whole lines. */
  readonly tell: (text: string) => void
}

/** @throws CliError `ERR_INPUT` where no machine runs */
export function runningMachine({ machine }: MonitorSite): MonitorMachine {
  if (machine === undefined) throw new CliError('ERR_INPUT', 'no machine runs')
  return machine
}
