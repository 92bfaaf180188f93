"""One list of calls, two clients: a function that makes a `Call` becomes a method of either, types and docs with it."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from tallystick.client.replies import Call

P = ParamSpec("P")
T = TypeVar("T")


class _Sends(Protocol):
    def send(self, call: Call[T]) -> T: ...


class _SendsLater(Protocol):
    async def send(self, call: Call[T]) -> T: ...


class method(Generic[P, T]):  # noqa: N801 - reads like `property`, and is one of its kind
    """A method of the synchronous client: `whoami = method(calls.whoami)`."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> "method[P, T]": ...
    @overload
    def __get__(self, client: _Sends, owner: type) -> Callable[P, T]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            answer: T = client.send(self._make(*args, **kwargs))
            return answer

        bound.__doc__ = self.__doc__
        return bound


class async_method(Generic[P, T]):  # noqa: N801 - as above
    """A method of the asynchronous client."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> "async_method[P, T]": ...
    @overload
    def __get__(self, client: _SendsLater, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self

        async def bound(*args: P.args, **kwargs: P.kwargs) -> T:
            answer: T = await client.send(self._make(*args, **kwargs))
            return answer

        bound.__doc__ = self.__doc__
        return bound
