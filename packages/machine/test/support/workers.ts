import { startDeviceWorker } from '@retrap/device-hosting/node'
import type { StartBoardServer, StartControllerServer } from '../../src/index.ts'

export const boardInWorker: StartBoardServer = (dispatch, platform, { board, ...options }) =>
  startDeviceWorker(dispatch, platform, {
    ...options,
    modules: [],
    program: new URL('./board-worker.ts', import.meta.url),
    data: board,
  })

export const controllersInWorker: StartControllerServer = (dispatch, platform, { controllers, ...options }) =>
  startDeviceWorker(dispatch, platform, {
    ...options,
    modules: [],
    program: new URL('./controllers-worker.ts', import.meta.url),
    data: { controllers, guest: platform.sharedMemory },
  })
