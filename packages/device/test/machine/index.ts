/**
 * What tests of device models share: a machine of one device whose clock the test turns, a disk whose answers can be held back
 * and fail, and a network that keeps what it is sent. It is not published. Tests of `device` do not use it, because it is written
 * with what they test.
 */
export { PciMachine, turn } from './pci-machine.ts'
export { TestDisk } from './test-disk.ts'
export { NETWORK_MAC, TestNetwork } from './test-network.ts'
