export { cells64, DeviceTreeNode } from './node.ts'
export { writeDeviceTree } from './writer.ts'
