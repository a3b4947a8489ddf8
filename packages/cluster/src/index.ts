export { Card, type CardClock } from './card.ts'
export { conducted, type TimedMachine } from './conducted.ts'
export type { ConductedMachine } from './conductor.ts'
export type { ClusterDescription, NetworkDescription, PlacedMachine, WorkloadDescription } from './description.ts'
export { clusterSchema, readCluster } from './read-description.ts'
export { ClusterError, type ClusterErrorCode } from './errors.ts'
export {
  describeFault,
  drawFaults,
  type Fault,
  FAULT_KINDS,
  type FaultKind,
  type FaultName,
  type FaultRate,
  type FaultWishes,
  timeText,
} from './faults.ts'
export { addressOf } from './links.ts'
export { MOST_LINE, type Property } from './reports.ts'
export {
  type ClusterEvent,
  type ClusterGuest,
  type ClusterHost,
  type ClusterResult,
  type ClusterRunOptions,
  type GuestListener,
  type MachineStart,
  runCluster,
} from './run.ts'
