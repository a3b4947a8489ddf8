// The page of the figures: what expressions of the bench use.
import { createMachine, startMachineWorker } from '@retrap/web'

Object.assign(globalThis, { createMachine, startMachineWorker })
