export { PciMachine, turn } from './pci-machine.ts'
export { TestDisk } from './test-disk.ts'
export { NETWORK_MAC, TestNetwork } from './test-network.ts'
