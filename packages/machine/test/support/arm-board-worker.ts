import { workerData } from 'node:worker_threads'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import { type ArmBoardDescription, serveArmBoard } from '../../src/arm/index.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: ArmBoardDescription }
await serveArmBoard(memory, data)
