/**
 * An NVM Express controller.
 *
 * @packageDocumentation
 */
export { Nvme } from './nvme.ts'
export type { NvmeOptions } from './nvme-options.ts'
