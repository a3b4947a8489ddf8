/**
 * What a host of device models is built with: how accesses are split, configuration space, timers.
 *
 * @packageDocumentation
 */
export {
  badAnswer,
  checkedNumber,
  checkedVoid,
  cut,
  isOneCall,
  isPromise,
  notNumber,
  readRegion,
  writeRegion,
  type AccessedRange,
} from './access.ts'
export { readRegionAsync, writeRegionAsync } from './async-access.ts'
export { hex } from '../errors.ts'
export { PciConfigSpace, type BarMapper } from './pci-config-space.ts'
export { checkDeadline, TimerQueue } from './timer-queue.ts'
