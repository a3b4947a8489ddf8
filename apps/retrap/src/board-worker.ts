import { workerData } from 'node:worker_threads'
import type { SharedDeviceMemory } from '@retrap/ioreq'
import { serveBoard, type BoardDescription } from '@retrap/machine'

// The program of the Worker of `--devices worker`.
const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: BoardDescription }
await serveBoard(memory, data)
