import { workerData } from 'node:worker_threads'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import type { BoardDescription } from '@retrap/machine'
import type { ArmBoardDescription } from '@retrap/machine/arm'

// The program of the Worker of `--devices worker`, which loads the code of one board.
const { memory, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly data: BoardDescription | ArmBoardDescription
}
if ('machine' in data) {
  const { serveBoard } = await import('@retrap/machine')
  await serveBoard(memory, data)
} else {
  const { serveArmBoard } = await import('@retrap/machine/arm')
  await serveArmBoard(memory, data)
}
