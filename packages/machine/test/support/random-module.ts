import { asynchronous } from './random-devices.ts'

/** What another thread or process runs in recorded-models.test.ts. */
export const device = asynchronous()
