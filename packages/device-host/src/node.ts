/**
 * The old name of `@retrap/ioreq/host/node`.
 *
 * @deprecated Import `@retrap/ioreq/host/node`. This package goes with the release after this one.
 * @packageDocumentation
 */
export * from '@retrap/ioreq/host/node'
