import { contractModels } from './models.ts'

export const [registers, wide, buffered, control, dma, bad, owner, pciFunction] = contractModels(true)
