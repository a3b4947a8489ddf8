/**
 * Memory that a vCPU sees in system-management mode alone, in place of what the guest's map has there: a chipset's SMRAM.
 *
 * It is the chipset's to say what is visible and when. After a change that does not come with an SMI or RSM it has all
 * vCPUs forget their translations (`VirtualCpu.mapChanged`).
 */
export interface SystemManagementMemory {
  /** Machine address of the RAM behind a guest-physical address in system-management mode; −1: as in any other mode. */
  machineAddress(gpa: number): number
}
