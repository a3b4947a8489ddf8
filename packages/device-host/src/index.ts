/**
 * The old name of `@retrap/ioreq/host`.
 *
 * @deprecated Import `@retrap/ioreq/host`. This package goes with the release after this one.
 * @packageDocumentation
 */
export * from '@retrap/ioreq/host'
