import { workerData } from 'node:worker_threads'
import { serveCluster } from './commands/cluster/workers.ts'

// The program of a Worker that runs machines of `retrap cluster`.
serveCluster(workerData)
