%% erpc between two Erlang nodes: the answering one and the calling ones, and how they find each other.
%%
%% farcall-bench compiles this once a run and starts it as the child processes of a sample (src/erlang.rs). Notes
%% to the parent are lines of JSON on standard output, the same that src/child.rs and src/meter.rs describe. A node
%% ends when its standard input does.
%%
%% There is no epmd: this module is the epmd_module of its node. A server listens on a free port and tells the
%% parent which; a client gets that port among its arguments.

-module(bench).
-export([main/1, echo/1, count/1, reached/1]).
-export([start_link/0, listen_port_please/2, register_node/3, address_please/3]).

-define(SERVER, 'server0@127.0.0.1').
-define(CASTS_WAITING, 10000).
-define(CASTS_AT_A_TIME, 5000).
-define(BUCKETS, 28672).
-define(NANOS_MAX, 16#1fffffffff).

main(Arguments) ->
    guarded(fun() ->
        %% What is not a note goes to standard error; and figures are wanted now, however much there is to do.
        ok = logger:remove_handler(default),
        Error = #{config => #{type => standard_error}},
        ok = logger:add_handler(default, logger_std_h, Error),
        process_flag(priority, max),
        %% Once now, so that no window has to wait for code.
        _ = since(usage(), usage()),
        Parent = open_port({fd, 0, 1}, [binary, eof, {line, 1024}]),
        case Arguments of
            ["server"] -> server(Parent);
            ["client", Port, Warmup, Window, Every | Traffic] ->
                persistent_term:put({bench, port}, list_to_integer(Port)),
                Plan = [list_to_integer(Number) || Number <- [Warmup, Window, Every]],
                client(Parent, Plan, Traffic)
        end
    end).

%% A process whose failure ends the node, for a window in which something failed is worth nothing.
guarded(Run) ->
    spawn(fun() ->
        try Run()
        catch Class:Reason:Stack ->
            io:format(standard_error, "bench.erl: ~0tp~n", [{Class, Reason, Stack}]),
            halt(1)
        end
    end).

%% The name comes with a cookie that is on no command line. A name that is not looked up needs not be unique.
be_node(Name, Listens) ->
    {ok, _} = net_kernel:start(Name, #{name_domain => longnames, dist_listen => Listens}),
    true = erlang:set_cookie(list_to_atom(os:getenv("FARCALL_BENCH_COOKIE"))).

%% Instead of epmd.

start_link() -> ignore.

listen_port_please(_Name, _Host) -> {ok, 0}.

register_node(_Name, Port, _Family) ->
    persistent_term:put({bench, port}, Port),
    {ok, rand:uniform(16#7fffffff)}.

address_please(_Name, _Host, inet) ->
    VersionOfHandshake = 6,
    {ok, {127, 0, 0, 1}, persistent_term:get({bench, port}), VersionOfHandshake}.

%% The answering node.

server(Parent) ->
    Started = erlang:monotonic_time(),
    Handled = atomics:new(1, []),
    persistent_term:put({bench, handled}, Handled),
    be_node(?SERVER, true),
    Port = persistent_term:get({bench, port}),
    tell(Parent, "{\"Listening\":[\"127.0.0.1:~b\"]}", [Port]),
    answer(Parent, Started, Handled).

answer(Parent, Started, Handled) ->
    receive
        {Parent, {data, _Request}} ->
            Used = usage(),
            Figures = [seconds_since(Started), atomics:get(Handled, 1), json(Used)],
            tell(Parent, "{\"Figures\":{\"at_s\":~w,\"handled\":~b,\"usage\":~s}}", Figures),
            answer(Parent, Started, Handled);
        {Parent, eof} -> halt(0)
    end.

%% What is called.
echo(Message) -> Message.

%% What is cast.
count(<<_:64/binary>>) -> atomics:add(persistent_term:get({bench, handled}), 1, 1).

%% Answers when so many casts were handled.
reached(Count) ->
    case atomics:get(persistent_term:get({bench, handled}), 1) of
        Handled when Handled >= Count -> ok;
        _ -> erlang:yield(), reached(Count)
    end.

%% A calling node. It does not listen: nobody calls it.

client(Parent, [WarmupMs, WindowMs, Every], Traffic) ->
    be_node(list_to_atom("client" ++ os:getpid() ++ "@127.0.0.1"), false),
    case net_kernel:connect_node(?SERVER) of
        true -> ok;
        Other -> error({no_connection, Other})
    end,
    Seen = {counters:new(2, [atomics]), counters:new(?BUCKETS, [atomics])},
    traffic([list_to_atom(hd(Traffic)) | [list_to_integer(Number) || Number <- tl(Traffic)]], Every, Seen),
    measure(Parent, WarmupMs, WindowMs, Seen).

traffic([calls, Bytes, Outstanding], Every, Seen) ->
    callers(Outstanding, message(Bytes), 1, Every, Seen);
traffic([mixed, Small, Large, Bytes], Every, Seen) ->
    callers(Small, message(0), 1, Every, Seen),
    callers(Large, message(Bytes), 2, never, Seen);
traffic([casts], _Every, _Seen) ->
    guarded(fun() -> casts(message(0), 1) end).

%% What makes the message of a number: 64 bytes that differ, or many that are always the same.
message(0) ->
    Rest = binary:copy(<<"farcall ">>, 8),
    <<Tail:60/binary, _/binary>> = Rest,
    fun(Number) -> <<Number:32, Tail/binary>> end;
message(Bytes) ->
    Large = binary:part(binary:copy(<<"farcall ">>, Bytes div 8 + 1), 0, Bytes),
    fun(_Number) -> Large end.

%% A process for each outstanding call. They do not all time the same call of their turn.
callers(Count, Message, Counter, Every, Seen) ->
    [guarded(fun() -> calls(Message, Number, until(Number, Every), Counter, Every, Seen) end)
     || Number <- lists:seq(1, Count)].

until(_Number, never) -> -1;
until(Number, Every) -> Number rem Every.

calls(Message, Number, 0, Counter, Every, {Calls, Nanos} = Seen) ->
    Begun = erlang:monotonic_time(),
    call(Message(Number)),
    Took = erlang:convert_time_unit(erlang:monotonic_time() - Begun, native, nanosecond),
    counters:add(Nanos, bucket(Took), 1),
    counters:add(Calls, Counter, 1),
    calls(Message, Number + 1, Every - 1, Counter, Every, Seen);
calls(Message, Number, Until, Counter, Every, {Calls, _} = Seen) ->
    call(Message(Number)),
    counters:add(Calls, Counter, 1),
    calls(Message, Number + 1, Until - 1, Counter, Every, Seen).

%% Small answers are compared; of large ones the length and the ends, as everywhere in this benchmark.
call(Message) ->
    Answer = erpc:call(?SERVER, bench, echo, [Message]),
    true = answers(Answer, Message).

answers(Answer, Message) when byte_size(Message) =< 64 -> Answer =:= Message;
answers(Answer, Message) ->
    byte_size(Answer) =:= byte_size(Message) andalso binary:first(Answer) =:= binary:first(Message)
        andalso binary:last(Answer) =:= binary:last(Message).

%% Casts as fast as the connection takes them. That alone does not bound how many wait for the other node, which
%% makes a process of each; so now and then a call comes back when no more than half of ?CASTS_WAITING are left.
casts(Message, Number) ->
    ok = erpc:cast(?SERVER, bench, count, [Message(Number)]),
    case Number rem ?CASTS_AT_A_TIME of
        0 -> ok = erpc:call(?SERVER, bench, reached, [Number + ?CASTS_AT_A_TIME - ?CASTS_WAITING]);
        _ -> ok
    end,
    casts(Message, Number + 1).

%% Warm-up, the window, and what was seen in it.
measure(Parent, WarmupMs, WindowMs, {Calls, Nanos}) ->
    pause(Parent, WarmupMs),
    tell(Parent, "\"Open\"", []),
    [counters:put(Nanos, Bucket, 0) || Bucket <- lists:seq(1, ?BUCKETS)],
    Before = usage(),
    Start = erlang:monotonic_time(),
    [counters:put(Calls, Counter, 0) || Counter <- [1, 2]],
    pause(Parent, WindowMs),
    Elapsed = seconds_since(Start),
    [Small, Large] = [counters:get(Calls, Counter) || Counter <- [1, 2]],
    Used = since(usage(), Before),
    Latency = latency(Nanos),
    tell(Parent, "\"Close\"", []),
    tell(Parent,
         "{\"Sample\":{\"calls\":~b,\"bulk_calls\":~b,\"latency\":~s,\"span\":{\"elapsed_s\":~w,\"used\":~s},"
         "\"base_rss_kib\":0}}",
         [Small, Large, Latency, Elapsed, json(Used)]),
    %% Ends with its parent's interest.
    pause(Parent, infinity).

pause(Parent, Ms) ->
    receive {Parent, eof} -> halt(0)
    after Ms -> ok
    end.

seconds_since(Start) ->
    erlang:convert_time_unit(erlang:monotonic_time() - Start, native, nanosecond) / 1.0e9.

tell(Parent, Format, Values) ->
    true = port_command(Parent, io_lib:format(Format ++ "~n", Values)).

%% What this process has used so far, all threads together. The kernel says it in ticks of 10 ms.

usage() ->
    {ok, Stat} = prim_file:read_file("/proc/self/stat"),
    [_Name, Rest] = binary:split(Stat, <<") ">>),
    Fields = binary:split(Rest, <<" ">>, [global]),
    [User, System] = [10000 * binary_to_integer(lists:nth(Field, Fields)) || Field <- [12, 13]],
    {ok, Threads} = prim_file:list_dir("/proc/self/task"),
    {ok, Status} = prim_file:read_file("/proc/self/status"),
    #{user_us => User, system_us => System, switches => lists:sum([switches(Thread) || Thread <- Threads]),
      rss_max_kib => field(Status, "VmHWM"), rss_kib => field(Status, "VmRSS")}.

switches(Thread) ->
    {ok, Status} = prim_file:read_file("/proc/self/task/" ++ Thread ++ "/status"),
    field(Status, "voluntary_ctxt_switches") + field(Status, "nonvoluntary_ctxt_switches").

field(Text, Name) ->
    {match, [Number]} = re:run(Text, ["\n", Name, ":\\s+(\\d+)"], [{capture, all_but_first, list}]),
    list_to_integer(Number).

since(Now, Before) ->
    maps:map(fun(Key, Value) when Key =:= rss_max_kib; Key =:= rss_kib -> Value;
                (Key, Value) -> Value - maps:get(Key, Before)
             end, Now).

%% Allocations are not counted here.
json(Usage) ->
    Fields = [io_lib:format("\"~s\":~b", [Key, Value]) || {Key, Value} <- maps:to_list(Usage)],
    ["{", lists:join(",", Fields), ",\"allocations\":null}"].

%% Times are kept in buckets of a thousandth of their value: up to 2,047 ns each has its own, then every power of
%% two has 1,024.

bucket(Nanos) -> bucket(min(Nanos, ?NANOS_MAX), 0).

bucket(Rest, Halvings) when Rest < 2048 -> 1 + Halvings * 1024 + Rest;
bucket(Rest, Halvings) -> bucket(Rest bsr 1, Halvings + 1).

%% The longest time that belongs into a bucket.
micros(Bucket) ->
    Halvings = max(0, (Bucket - 1) div 1024 - 1),
    (((Bucket - 1 - Halvings * 1024 + 1) bsl Halvings) - 1) / 1.0e3.

latency(Nanos) ->
    Counted = [{Bucket, Count} || Bucket <- lists:seq(1, ?BUCKETS), Count <- [counters:get(Nanos, Bucket)], Count > 0],
    case lists:sum([Count || {_, Count} <- Counted]) of
        0 -> "null";
        Sampled ->
            Of = fun(Quantile) -> quantile(ceil(Quantile * Sampled), Counted) end,
            io_lib:format("{\"sampled\":~b,\"p50_us\":~w,\"p99_us\":~w,\"p999_us\":~w,\"max_us\":~w}",
                          [Sampled, Of(0.5), Of(0.99), Of(0.999), Of(1)])
    end.

quantile(Rank, [{Bucket, Count} | _]) when Rank =< Count -> micros(Bucket);
quantile(Rank, [{_, Count} | Rest]) -> quantile(Rank - Count, Rest).
