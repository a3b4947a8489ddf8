/**
 * An NVM Express controller.
 *
 * @packageDocumentation
 */
export { Nvme, type NvmeState } from './nvme.ts'
export type { NvmeOptions } from './nvme-options.ts'
