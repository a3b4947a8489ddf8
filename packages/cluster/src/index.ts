export { Card, type CardClock } from './card.ts'
export {
  simulated,
  type SimulatedCard,
  type SimulatedMachine,
  type MachineTime,
  type TimedMachine,
  timeOf,
} from './simulation.ts'
export type { ClusterInput, FaultInput, HealthInput, LinkInput, MachineInput, RateInput } from './cluster-input.ts'
export { groupOf, hasProgram, type HealthTest, type PlacedNetwork, type StartCondition } from './description.ts'
export type { ClusterDescription, NetworkDescription, PlacedMachine } from './description.ts'
export type { TestCommand, WorkloadDescription } from './description.ts'
export { addressNumber } from './networks.ts'
export { EXEC_PROGRAM, MAIN_PROGRAM, MOST_COPIED } from './machine-programs.ts'
export { clusterSchema, type Plan, readCluster, readPlan, seedOfPlan } from './read-description.ts'
export { ClusterError, type ClusterErrorCode } from './errors.ts'
export {
  describeFault,
  drawFaults,
  type Fault,
  FAULT_KINDS,
  type GuestFault,
  type FaultKind,
  type FaultName,
  type FaultRate,
  type FaultWishes,
  type LostSectors,
  timeText,
} from './faults.ts'
export { Disk, type DiskLog, type DiskPages, type DiskWrite, pagesAfter } from './disk.ts'
export { type DecodedFrame, decodeFrame, hexLines } from './frame-text.ts'
export { addressOf, type FrameCause } from './links.ts'
export type { ClusterEvent, ClusterResult } from './result.ts'
export { MOST_LINE, readReport, type Report, type Property, stateOf } from './reports.ts'
export { type Branch, Cluster, type ClusterOptions, type ClusterPath } from './cluster.ts'
export type { ClusterGuest, ClusterHost, GuestListener, MachineStart } from './host.ts'
export type { ErrorTold, ThreadPort } from './remote/messages.ts'
export { RemoteHost } from './remote/remote-host.ts'
export { serveGuests } from './remote/serve.ts'
export type { GuestThread } from './remote/thread-client.ts'
export type { CrashInterval, CrashState } from './crash-states.ts'
export {
  type CrashedInterval,
  type CrashesOptions,
  type CrashesReport,
  type CrashLoss,
  exploreCrashes,
} from './explore-crashes.ts'
export { type BranchRun, ClusterLane, type Lane, type StretchRun } from './lanes/lane.ts'
export type { CheckRun, CrashLane, DiskCheck, WorkRun } from './lanes/lane.ts'
export { RemoteLane, serveLane } from './lanes/remote-lane.ts'
export { explore, type ExploreOptions, type Finding, type StateTold, TREES } from './explore.ts'
export { type BranchesOptions, exploreBranches, type FailedBranch, MOST_LANES } from './explore-branches.ts'
export { faultsOf, type Stretch } from './draw-faults.ts'
export { GENERATOR, type Seed } from './draws.ts'
export {
  type ClockStretch,
  type ClusterRun,
  clusterTime,
  machineTime,
  type RunFrame,
  type RunMachine,
  type RunStart,
  startAt,
} from './run.ts'
export { RunLog } from './run-log.ts'
export { ClusterRunFile, type RunRecording, type RunSource, writeClusterRun } from './run-file.ts'
