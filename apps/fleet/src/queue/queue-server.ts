import {
  createPostgresBackend,
  DEFAULT_SCHEMA,
  type Job,
  type PostgresConnectionOptions,
  Queue,
  QueueEvents,
  runMigrations,
  withBackend,
  Worker,
  type WorkerOptions,
} from 'bullmq'
import { Pool } from 'pg'

/** The clients of a queue's server. */
export interface QueueServer<T> {
  /** Makes tables or other things that queues need at the server, before clients are made. */
  prepare(): Promise<void>
  queue(): Queue<T>
  events(): QueueEvents
  worker(serve: (job: Job<T>) => Promise<string>, options: Omit<WorkerOptions, 'connection'>): Worker<T>
  /** Closes remaining connections after the clients are closed. */
  close(): Promise<void>
}

/**
 * Opens a queue.
 *
 * @param url - address from `checkedQueueUrl`
 * @param connections - most simultaneous connections to a PostgreSQL server
 * @param trouble - called with errors of the server, which is asked again
 */
export function openQueue<T>(
  url: string,
  name: string,
  connections: number,
  trouble: (error: Error) => void,
): QueueServer<T> {
  if (url.startsWith('redis')) {
    // A worker waits for its server for ever, as BullMQ asks for.
    const connection = { url, maxRetriesPerRequest: null }
    return {
      prepare: () => Promise.resolve(),
      queue: () => heard(new Queue<T>(name, { connection }), trouble),
      events: () => heard(new QueueEvents(name, { connection }), trouble),
      worker: (serve, options) => heard(new Worker<T>(name, serve, { ...options, connection }), trouble),
      close: () => Promise.resolve(),
    }
  }
  const pool = new Pool({
    ...{ connectionString: url, max: connections, keepAlive: true },
    // The schema that BullMQ's tables are in.
    options: `-c search_path=${DEFAULT_SCHEMA}`,
  })
  pool.on('error', trouble)
  const classes = withBackend(createPostgresBackend)
  // A pool matches one of BullMQ's connection types, except for an index signature.
  const connection = pool as unknown as PostgresConnectionOptions
  return {
    async prepare() {
      const client = await pool.connect()
      try {
        await runMigrations(client, DEFAULT_SCHEMA)
      } finally {
        client.release()
      }
    },
    queue: () => heard(new classes.Queue<T>(name, { connection }), trouble) as unknown as Queue<T>,
    events: () => heard(new classes.QueueEvents(name, { connection }), trouble) as unknown as QueueEvents,
    worker: (serve, options) =>
      heard(new classes.Worker<T>(name, serve, { ...options, connection }), trouble) as unknown as Worker<T>,
    close: () => pool.end(),
  }
}

function heard<C extends { on(event: 'error', listener: (error: Error) => void): unknown }>(
  client: C,
  trouble: (error: Error) => void,
): C {
  client.on('error', trouble)
  return client
}
