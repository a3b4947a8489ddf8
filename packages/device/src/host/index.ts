/**
 * The building blocks of a host of device models: how accesses are split, configuration space, interrupt lines, timers.
 *
 * @packageDocumentation
 */
export {
  badRead,
  checkedNumber,
  checkRegion,
  checkedVoid,
  cut,
  isOneCall,
  isPromise,
  isWord,
  notNumber,
} from './access.ts'
export { SplitAccess, type PlacedRange } from './split-access.ts'
export { describeThrown, hex, plainLine } from '../errors.ts'
export { ModelLines, SharedLines } from './interrupt-lines.ts'
export { LONGEST_HOST_TIMER_MS, setDeadline, TimerQueue } from './timer-queue.ts'
export { intercepted } from './intercepted.ts'
export { PciConfigSpace } from './pci-config-space.ts'
export type { BarRegion } from './pci-decoders.ts'
export type { TreeSlot } from './pci-slot.ts'
export { PciTree, type PciTreeHost } from './pci-tree.ts'
