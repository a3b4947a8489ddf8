import { workerData } from 'node:worker_threads'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import { serveBoard, type BoardDescription } from '../../src/index.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: BoardDescription }
await serveBoard(memory, data)
